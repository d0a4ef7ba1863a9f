# RDE on RSTPReid: CLIP tuned whole with TAL, global and selected tokens,
# and consensus division of the pairs.
_base_ = [
    '../_base_/datasets/rstp_reid_clip.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/models/selected_tokens.py',
    '../_base_/models/consensus_division.py',
    '../_base_/schedules/adam_60e_rde.py',
    '../_base_/default_runtime.py',
]

# A finer fit than on the other sets, as in the release.
fine = dict(max_iter=100, tol=1e-4, reg_covar=1e-6)
train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='mmtpr.SelectedPairsDataset',
        dataset=dict(
            _base_.rstp_train, pipeline=_base_.perturbed_pipeline),
        selector=dict(_base_.pair_selector, **fine),
        plain_pipeline=_base_.test_pipeline))

model = dict(
    losses=dict(_delete_=True, **_base_.rde_losses),
    necks=_base_.rde_necks)
