# APTM's fine-tuning on ICFG-PEDES.
_base_ = ['../_base_/datasets/icfg_pedes_bert.py', '../_base_/aptm_tuning.py']

model = dict(data_preprocessor=_base_.normalisation)
