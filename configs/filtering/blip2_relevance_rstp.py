# Pairs of RSTPReid judged by BLIP-2, as those of CUHK-PEDES are:
#   python tools/filtering/score_relevance.py THIS --bank THIS --out scores.npz
_base_ = ['./blip2_relevance_cuhk.py', '../_base_/datasets/rstp_reid.py']

train_dataloader = dict(dataset=dict(_delete_=True, **_base_.rstp_train))
