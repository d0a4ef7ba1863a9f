# FAFA on BLIP-2, trained on SynCPR and tested on ITCPR. Run with --amp for
# bfloat16.
_base_ = [
    '../_base_/datasets/syn_cpr.py',
    '../_base_/datasets/itcpr.py',
    '../_base_/datasets/composed_blip2_224.py',
    '../_base_/models/fafa_blip2.py',
    '../_base_/schedules/adamw_onecycle_10e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(_base_.syn_cpr_train, pipeline=_base_.triplet_pipeline),
    drop_last=False,  # is the batch sampler's; its batches are always full
    # Triplets of one group meet, at most two in a batch.
    batch_sampler=dict(type='mmtpr.GroupBatchSampler', max_per_id=2))
val_dataloader = dict(
    dataset=dict(_base_.syn_cpr_val, pipeline=_base_.plain_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.itcpr_test, pipeline=_base_.plain_pipeline))
