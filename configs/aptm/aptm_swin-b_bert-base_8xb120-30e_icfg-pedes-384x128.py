# APTM's fine-tuning on ICFG-PEDES. Paper and release agree but where a line says so.
_base_ = [
    '../_base_/datasets/icfg_pedes.py',
    '../_base_/datasets/person_bert_384x128.py',
    '../_base_/models/swin_bert.py',
    '../_base_/schedules/adamw_30e_aptm.py',
    '../_base_/default_runtime.py',
]

mean = [78.9010, 73.8401, 77.3856]
std = [65.9170, 62.5966, 60.3381]

# Of these captions only letters and digits stay, as released.
clean = dict(type='mmtpr.CleanPersonCaption', strip_punctuation=True)
train_pipeline = [clean, *_base_.train_pipeline]
train_pipeline[1].transforms[-1].fill = mean[::-1]
test_pipeline = [clean, *_base_.test_pipeline]
icfg_train = _base_.icfg_train
icfg_train.pipeline = train_pipeline
icfg_val = _base_.icfg_val
icfg_val.pipeline = test_pipeline
icfg_test = _base_.icfg_test
icfg_test.pipeline = test_pipeline

train_dataloader = dict(batch_size=120, dataset=icfg_train)
val_dataloader = dict(dataset=icfg_val)
test_dataloader = dict(dataset=icfg_test)

model = dict(
    encoder=dict(pretrained='work_dirs/aptm_mals/epoch_32.pth'),
    augmented_weight=0.8,
    data_preprocessor=dict(mean=mean, std=std))
