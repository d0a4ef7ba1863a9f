# WoRA on the image encoder, CUHK-PEDES filtered at rank 1800 of 10,000.
_base_ = [
    '../_base_/datasets/cuhk_pedes_clip.py',
    '../_base_/models/clip_vit_b16_wora.py',
    '../_base_/schedules/adam_60e_adapted.py',
    '../_base_/default_runtime.py',
]

# Written by tools/filtering/score_relevance.py against a bank of 10,000 of the
# set's own training captions; see configs/wora/README.md.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=_base_.train_dataloader.dataset,
        scores=f'{_base_.cuhk_root}/relevance.npz',
        max_rank=1800))

model = dict(losses=dict(id=dict(num_classes=11003)))
