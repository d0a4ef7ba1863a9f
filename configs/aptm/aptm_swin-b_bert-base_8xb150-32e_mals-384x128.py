# APTM's pre-training on the whole of MALS, attributes included. Paper and
# release agree but where a line says so.
_base_ = [
    '../_base_/datasets/mals.py',
    '../_base_/datasets/mals_prompts.py',
    '../_base_/datasets/cuhk_pedes.py',
    '../_base_/datasets/person_bert_384x128.py',
    '../_base_/models/swin_bert.py',
    '../_base_/schedules/adamw_32e_aptm.py',
    '../_base_/default_runtime.py',
]

# Of MALS. The release tests on CUHK-PEDES with that set's own; one model has
# one normalisation here, and only the choice of an epoch sees the difference.
mean = [112.6296, 106.6228, 108.0550]
std = [78.7505, 75.8457, 76.7573]

mals_train = _base_.mals_train
mals_train.pipeline = _base_.pretrain_pipeline
mals_train.pipeline[0].transforms[-1].fill = mean[::-1]
cuhk_val = _base_.cuhk_val
cuhk_val.pipeline = _base_.test_pipeline
cuhk_test = _base_.cuhk_test
cuhk_test.pipeline = _base_.test_pipeline

train_dataloader = dict(batch_size=150, dataset=mals_train)
val_dataloader = dict(dataset=cuhk_val)
test_dataloader = dict(dataset=cuhk_test)

model = dict(
    encoder=_base_.imagenet_bert,
    losses=dict(
        attributes=dict(
            type='mmtpr.AttributePromptLoss',
            prompts=_base_.mals_prompts,
            vocab=_base_.vocab,
            weight=0.8,
            num_matched=5,
            # As released; the paper names no smoothing.
            label_smoothing=0.4)),
    data_preprocessor=dict(mean=mean, std=std))
