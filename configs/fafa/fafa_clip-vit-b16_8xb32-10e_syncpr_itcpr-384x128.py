# The light FAFA on SynCPR, tested on ITCPR. Run with --amp for bfloat16.
_base_ = [
    '../_base_/datasets/syn_cpr.py',
    '../_base_/datasets/itcpr.py',
    '../_base_/datasets/composed_384x128.py',
    '../_base_/models/fafa_clip_vit_b16.py',
    '../_base_/schedules/adamw_10e_fafa.py',
    '../_base_/default_runtime.py',
]

syn_cpr_train = _base_.syn_cpr_train
syn_cpr_train.pipeline = _base_.triplet_pipeline
syn_cpr_val = _base_.syn_cpr_val
syn_cpr_val.pipeline = _base_.plain_pipeline
itcpr_test = _base_.itcpr_test
itcpr_test.pipeline = _base_.plain_pipeline

train_dataloader = dict(
    _delete_=True,  # a batch sampler takes no drop_last; its batches are full
    batch_size=32,
    num_workers=8,
    persistent_workers=False,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    # Triplets of one group meet, at most two in a batch.
    batch_sampler=dict(type='mmtpr.GroupBatchSampler', max_per_id=2),
    worker_init_fn=dict(type='mmtpr.seed_worker'),
    dataset=syn_cpr_train)
val_dataloader = dict(dataset=syn_cpr_val)
test_dataloader = dict(dataset=itcpr_test)

val_evaluator = dict(topk_tokens=6)
test_evaluator = val_evaluator
