# APTM's fine-tuning on RSTPReid. Paper and release agree but where a line says so.
_base_ = [
    '../_base_/datasets/rstp_reid.py',
    '../_base_/datasets/person_bert_384x128.py',
    '../_base_/models/swin_bert.py',
    '../_base_/schedules/adamw_30e_aptm.py',
    '../_base_/default_runtime.py',
]

mean = [70.6926, 66.4678, 77.4322]
std = [66.5434, 63.9562, 64.4979]

# Of these captions only letters and digits stay, as released.
clean = dict(type='mmtpr.CleanPersonCaption', strip_punctuation=True)
train_pipeline = [clean, *_base_.train_pipeline]
train_pipeline[1].transforms[-1].fill = mean[::-1]
test_pipeline = [clean, *_base_.test_pipeline]
rstp_train = _base_.rstp_train
rstp_train.pipeline = train_pipeline
rstp_val = _base_.rstp_val
rstp_val.pipeline = test_pipeline
rstp_test = _base_.rstp_test
rstp_test.pipeline = test_pipeline

train_dataloader = dict(batch_size=120, dataset=rstp_train)
val_dataloader = dict(dataset=rstp_val)
test_dataloader = dict(dataset=rstp_test)

model = dict(
    encoder=dict(pretrained='work_dirs/aptm_mals/epoch_32.pth'),
    augmented_weight=0.8,
    data_preprocessor=dict(mean=mean, std=std))
