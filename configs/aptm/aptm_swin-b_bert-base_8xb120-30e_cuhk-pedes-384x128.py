# APTM's fine-tuning on CUHK-PEDES. Paper and release agree but where a line says so.
_base_ = [
    '../_base_/datasets/cuhk_pedes.py',
    '../_base_/datasets/person_bert_384x128.py',
    '../_base_/models/swin_bert.py',
    '../_base_/schedules/adamw_30e_aptm.py',
    '../_base_/default_runtime.py',
]

mean = [99.1983, 93.1161, 88.8328]
std = [62.0780, 60.5337, 59.5898]

train_pipeline = _base_.train_pipeline
train_pipeline[0].transforms[-1].fill = mean[::-1]
cuhk_train = _base_.cuhk_train
cuhk_train.pipeline = train_pipeline
cuhk_val = _base_.cuhk_val
cuhk_val.pipeline = _base_.test_pipeline
cuhk_test = _base_.cuhk_test
cuhk_test.pipeline = _base_.test_pipeline

train_dataloader = dict(batch_size=120, dataset=cuhk_train)
val_dataloader = dict(dataset=cuhk_val)
test_dataloader = dict(dataset=cuhk_test)

model = dict(
    encoder=dict(pretrained='work_dirs/aptm_mals/epoch_32.pth'),
    augmented_weight=0.8,
    data_preprocessor=dict(mean=mean, std=std))
