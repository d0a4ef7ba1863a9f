# The pairs of MALS judged by BLIP-2, as published for Filtering-WoRA, against
# captions of CUHK-PEDES:
#   python tools/filtering/score_relevance.py THIS --amp \
#       --bank configs/filtering/blip2_relevance_cuhk.py --out scores.npz
_base_ = ['./blip2_relevance_cuhk.py', '../_base_/datasets/mals.py']

train_dataloader = dict(
    dataset=dict(_delete_=True, **_base_.mals_train))
