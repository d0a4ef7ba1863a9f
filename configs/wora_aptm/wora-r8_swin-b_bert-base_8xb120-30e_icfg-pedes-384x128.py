# Filtering-WoRA's fine-tuning on ICFG-PEDES, filtered at rank 1800 of 10,000.
_base_ = ['../aptm/aptm_swin-b_bert-base_8xb120-30e_icfg-pedes-384x128.py']

# Scores of BLIP-2: tools/filtering/score_relevance.py; see the README here.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=_base_.icfg_train,
        scores=f'{_base_.icfg_root}/relevance_blip2.npz',
        max_rank=1800))

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=_base_.encoder,
        rank=8,
        alpha=8.0,
        beta=1.0,
        targets=_base_.image_linears,
        trainable=_base_.trainable),
    # As released; the paper names no smoothing.
    losses=dict(itm=dict(label_smoothing=0.1)))

# The adapters of pre-training are trained on, as in the release.
load_from = 'work_dirs/wora_aptm_mals/epoch_32.pth'
