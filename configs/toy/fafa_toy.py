# The light FAFA on triplets, from the encoder that `make demo` pre-trained:
# queries by a TINet of four words, targets of 8 x 4 projected patches.
_base_ = [
    './_base_/composed_data.py',
    './_base_/model.py',
    './_base_/schedule.py',
    '../_base_/default_runtime.py',
]

encoder = _base_.encoder
encoder.pretrained = _base_.filtered_weights
encoder.model.vision_cfg.patch_dropout = 0.0  # patches are the targets

train_dataloader = dict(
    dataset=dict(_base_.triplets, pipeline=_base_.triplet_pipeline),
    drop_last=False,  # is the batch sampler's; its batches are always full
    # The triplets of one outfit meet.
    batch_sampler=dict(type='mmtpr.GroupBatchSampler', max_per_id=2))

model = dict(
    _delete_=True,
    type='mmtpr.ComposedPersonRetriever',
    encoder=encoder,
    query=dict(
        type='mmtpr.PseudoWordQuery',
        tinets=dict(type='mmtpr.TINet', hidden_dim=256, num_words=4),
        tokenizer=_base_.tokenize.tokenizer),
    target=dict(type='mmtpr.PatchTokens'),
    head=dict(
        type='mmtpr.FAFAHead',
        topk_tokens=6,
        temperature=0.03,
        fd_weight=1.0,
        mfr_weight=0.5))

val_evaluator = dict(topk_tokens=6)
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=6, val_interval=1)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.05,
        by_epoch=False,
        begin=0,
        end=75),
    dict(
        type='CosineAnnealingLR',
        T_max=5.8,
        begin=0.2,
        end=6,
        convert_to_iter_based=True),
]
