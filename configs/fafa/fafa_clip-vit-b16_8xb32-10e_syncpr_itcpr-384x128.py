# The light FAFA on SynCPR, tested on ITCPR. Run with --amp for bfloat16.
_base_ = [
    '../_base_/datasets/syn_cpr.py',
    '../_base_/datasets/itcpr.py',
    '../_base_/datasets/composed_384x128.py',
    '../_base_/models/fafa_clip_vit_b16.py',
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
    batch_size=32,
    dataset=syn_cpr_train,
    # Triplets of one group meet, at most two in a batch.
    batch_sampler=dict(type='mmtpr.GroupBatchSampler', max_per_id=2))
val_dataloader = dict(dataset=syn_cpr_val)
test_dataloader = dict(dataset=itcpr_test)

val_evaluator = dict(topk_tokens=6)
test_evaluator = val_evaluator

# CLIP bears a higher rate than BLIP-2, and a new TINet needs one.
optim_wrapper = dict(
    optimizer=dict(lr=1e-5),
    paramwise_cfg=dict(
        custom_keys={
            'query': dict(lr_mult=10.0),
            'head': dict(lr_mult=10.0),
        }))
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=1e-5,
        total_steps=10,
        pct_start=0.02,
        convert_to_iter_based=True),
]
