# WoRA on the image encoder, ICFG-PEDES filtered as CUHK-PEDES is.
_base_ = [
    '../_base_/datasets/icfg_pedes.py',
    '../_base_/datasets/person_384x128.py',
    '../_base_/models/clip_vit_b16_adapted.py',
    '../_base_/schedules/adam_60e_adapted.py',
    '../_base_/default_runtime.py',
]

icfg_train = _base_.icfg_train
icfg_train.pipeline = _base_.train_pipeline
icfg_val = _base_.icfg_val
icfg_val.pipeline = _base_.test_pipeline
icfg_test = _base_.icfg_test
icfg_test.pipeline = _base_.test_pipeline

# Written by tools/filtering/score_relevance.py against a bank of 10,000 of the
# set's own training captions; see configs/wora/README.md.
train_dataloader = dict(
    dataset=dict(
        type='mmtpr.RelevanceFilteredDataset',
        dataset=icfg_train,
        scores=f'{_base_.icfg_root}/relevance.npz',
        max_rank=1800))
val_dataloader = dict(dataset=icfg_val)
test_dataloader = dict(dataset=icfg_test)

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=_base_.encoder,
        rank=8,
        alpha=8.0,
        beta=1.0,
        targets=_base_.image_linears,
        trainable=_base_.trainable),
    losses=dict(id=dict(num_classes=3000)))
