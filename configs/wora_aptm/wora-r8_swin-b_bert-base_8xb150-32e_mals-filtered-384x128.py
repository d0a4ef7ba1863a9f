# Filtering-WoRA's pre-training: MALS filtered against captions of CUHK-PEDES,
# WoRA on the image tower. The paper keeps the "top 50" of 10,000; this follows
# the release, which keeps ranks 1 to 49.
_base_ = ['../aptm/aptm_swin-b_bert-base_8xb150-32e_mals-384x128.py']

# Scores of BLIP-2: tools/filtering/score_relevance.py; see the README here.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=_base_.mals_train,
        scores='data/MALS/relevance_blip2.npz',
        max_rank=49))

# Pretrained weights go in before the adapters. The release wraps first and
# loads after, so that its wrapped layers keep random weights.
model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=dict(**_base_.encoder, **_base_.imagenet_bert),
        rank=8,
        alpha=8.0,
        beta=1.0,
        targets=_base_.image_linears,
        trainable=_base_.trainable))
