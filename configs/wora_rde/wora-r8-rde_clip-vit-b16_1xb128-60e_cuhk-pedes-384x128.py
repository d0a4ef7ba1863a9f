# RDE with WoRA on the image encoder, whole CUHK-PEDES.
_base_ = [
    '../_base_/datasets/cuhk_pedes_clip.py',
    '../_base_/models/clip_vit_b16_wora.py',
    '../_base_/models/selected_tokens.py',
    '../_base_/models/consensus_division.py',
    '../_base_/schedules/adam_60e_rde_adapted.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='mmtpr.SelectedPairsDataset',
        dataset=dict(
            _base_.cuhk_train, pipeline=_base_.perturbed_pipeline),
        selector=_base_.pair_selector,
        plain_pipeline=_base_.test_pipeline))

model = dict(
    losses=dict(_delete_=True, **_base_.rde_losses),
    necks=_base_.rde_necks)
