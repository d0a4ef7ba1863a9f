# Filtering-WoRA's pre-training: MALS filtered against captions of CUHK-PEDES,
# WoRA on the image tower. The paper keeps the "top 50" of 10,000; this follows
# the release, which keeps ranks 1 to 49. Warm-up is the published 2,600
# iterations of what is left.
_base_ = [
    '../_base_/datasets/mals_bert.py',
    '../_base_/models/swin_bert_wora.py',
    '../_base_/schedules/adamw_32e_aptm.py',
    '../_base_/default_runtime.py',
]

# Scores of BLIP-2: tools/filtering/score_relevance.py; see the README here.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=_base_.train_dataloader.dataset,
        scores='data/MALS/relevance_blip2.npz',
        max_rank=49))

# The paper reports 1.19 M of 1.51 M pairs left; where the filter leaves another
# number, which the log tells, put it here.
warmup_epochs = 2600 * _base_.batch_size / 1190000
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = warmup_epochs
param_scheduler[1].begin = warmup_epochs

# Pretrained weights go in before the adapters. The release wraps first and
# loads after, so that its wrapped layers keep random weights.
model = dict(
    encoder=dict(module=_base_.imagenet_bert),
    losses=dict(attributes=_base_.attribute_loss),
    data_preprocessor=_base_.normalisation)
