# Filtering-WoRA's fine-tuning on CUHK-PEDES, filtered at rank 1800 of 10,000.
_base_ = ['../_base_/datasets/cuhk_pedes_bert.py', '../_base_/wora_aptm_tuning.py']

# Scores of BLIP-2: tools/filtering/score_relevance.py; see the README here.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=_base_.train_dataloader.dataset,
        scores=f'{_base_.cuhk_root}/relevance_blip2.npz',
        max_rank=1800))

model = dict(data_preprocessor=_base_.normalisation)
