# Stage 2: a TINet on CUHK-PEDES over the frozen encoder of stage 1. The
# features are computed once and cached. Val is cut from SynCPR; without it,
# set val_cfg, val_dataloader and val_evaluator to None and take the last epoch.
_base_ = [
    '../_base_/datasets/cuhk_pedes.py',
    '../_base_/datasets/syn_cpr.py',
    '../_base_/datasets/itcpr.py',
    '../_base_/datasets/composed_384x128.py',
    '../_base_/models/word4per_clip_vit_b16.py',
    '../_base_/schedules/adamw_60e_tinet.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type='mmtpr.CachedFeatureDataset',
        dataset=dict(_base_.cuhk_train, pipeline=_base_.plain_pipeline),
        encoder=_base_.encoder,
        cache='work_dirs/word4per_stage2_features/cuhk_train',
        num_workers=8))
val_dataloader = dict(
    dataset=dict(_base_.syn_cpr_val, pipeline=_base_.plain_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.itcpr_test, pipeline=_base_.plain_pipeline))
