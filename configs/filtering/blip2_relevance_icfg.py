# Pairs of ICFG-PEDES judged by BLIP-2, as those of CUHK-PEDES are. The 102
# persons that the training configs set aside for val are not among them.
#   python tools/filtering/score_relevance.py THIS --bank THIS --out scores.npz
_base_ = ['./blip2_relevance_cuhk.py', '../_base_/datasets/icfg_pedes.py']

train_dataloader = dict(dataset=dict(_delete_=True, **_base_.icfg_train))
