# Filtering-WoRA's fine-tuning on ICFG-PEDES, filtered at rank 1800 of 10,000 as
# CUHK-PEDES is in paper and release; the release's config of this set names an
# unfiltered file (max_rank=10001 keeps all).
_base_ = ['../_base_/datasets/icfg_pedes_bert.py', '../_base_/wora_aptm_tuning.py']

# Scores of BLIP-2: tools/filtering/score_relevance.py; see the README here.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=_base_.train_dataloader.dataset,
        scores=f'{_base_.icfg_root}/relevance_blip2.npz',
        max_rank=1800))

model = dict(data_preprocessor=_base_.normalisation)
