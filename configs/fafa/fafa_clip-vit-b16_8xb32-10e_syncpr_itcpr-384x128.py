# The light FAFA on SynCPR, tested on ITCPR. Run with --amp for bfloat16.
_base_ = [
    '../_base_/datasets/syn_cpr.py',
    '../_base_/datasets/itcpr.py',
    '../_base_/datasets/composed_384x128.py',
    '../_base_/models/fafa_clip_vit_b16.py',
    '../_base_/schedules/adamw_10e_fafa.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=32,
    dataset=dict(_base_.syn_cpr_train, pipeline=_base_.triplet_pipeline),
    drop_last=False,  # is the batch sampler's; its batches are always full
    # Triplets of one group meet, at most two in a batch.
    batch_sampler=dict(type='mmtpr.GroupBatchSampler', max_per_id=2))
val_dataloader = dict(
    dataset=dict(_base_.syn_cpr_val, pipeline=_base_.plain_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.itcpr_test, pipeline=_base_.plain_pipeline))

val_evaluator = dict(topk_tokens=6)
test_evaluator = val_evaluator
