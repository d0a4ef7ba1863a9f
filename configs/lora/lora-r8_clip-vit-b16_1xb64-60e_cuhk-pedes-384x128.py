# LoRA in the place of WoRA, all else equal.
_base_ = [
    '../_base_/datasets/cuhk_pedes.py',
    '../_base_/datasets/person_384x128.py',
    '../_base_/models/clip_vit_b16_adapted.py',
    '../_base_/schedules/adam_60e_adapted.py',
    '../_base_/default_runtime.py',
]

cuhk_train = _base_.cuhk_train
cuhk_train.pipeline = _base_.train_pipeline
cuhk_val = _base_.cuhk_val
cuhk_val.pipeline = _base_.test_pipeline
cuhk_test = _base_.cuhk_test
cuhk_test.pipeline = _base_.test_pipeline

# Written by tools/filtering/score_relevance.py against a bank of 10,000 of the
# set's own training captions; see configs/lora/README.md.
train_dataloader = dict(
    dataset=dict(
        type='mmtpr.RelevanceFilteredDataset',
        dataset=cuhk_train,
        scores=f'{_base_.cuhk_root}/relevance.npz',
        max_rank=1800))
val_dataloader = dict(dataset=cuhk_val)
test_dataloader = dict(dataset=cuhk_test)

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.AdapterModel',
        adapter=dict(type='LoRA', rank=8, alpha=8.0),
        module=_base_.encoder,
        targets=_base_.image_linears,
        trainable=_base_.trainable),
    losses=dict(id=dict(num_classes=11003)))
