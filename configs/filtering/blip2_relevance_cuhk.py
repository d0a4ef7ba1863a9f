# Pairs of CUHK-PEDES judged by BLIP-2, as published for Filtering-WoRA:
#   python tools/filtering/score_relevance.py THIS --bank THIS --out scores.npz
_base_ = [
    '../_base_/datasets/cuhk_pedes.py',
    '../_base_/datasets/person_blip2_224.py',
    '../_base_/models/blip2_itm.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(dataset=_base_.cuhk_train)
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_sampler=dict(type='mmtpr.WholeBatchSampler'),
    dataset=dict(_base_.cuhk_test, pipeline=_base_.test_pipeline))
test_cfg = dict(type='TestLoop')
# Zero-shot retrieval by the same number, the best of 32 tokens.
test_evaluator = dict(type='mmtpr.PersonRetrievalMetric', topk_tokens=1)
