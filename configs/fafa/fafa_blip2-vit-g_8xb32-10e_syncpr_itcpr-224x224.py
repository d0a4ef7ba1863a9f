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

syn_cpr_train = _base_.syn_cpr_train
syn_cpr_train.pipeline = _base_.triplet_pipeline
syn_cpr_val = _base_.syn_cpr_val
syn_cpr_val.pipeline = _base_.plain_pipeline
itcpr_test = _base_.itcpr_test
itcpr_test.pipeline = _base_.plain_pipeline

train_dataloader = dict(
    dataset=syn_cpr_train,
    drop_last=False,  # is the batch sampler's; its batches are always full
    # Triplets of one group meet, at most two in a batch.
    batch_sampler=dict(type='mmtpr.GroupBatchSampler', max_per_id=2))
val_dataloader = dict(dataset=syn_cpr_val)
test_dataloader = dict(dataset=itcpr_test)
