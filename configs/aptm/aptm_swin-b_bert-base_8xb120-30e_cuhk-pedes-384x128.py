# APTM's fine-tuning on CUHK-PEDES.
_base_ = ['../_base_/datasets/cuhk_pedes_bert.py', '../_base_/aptm_tuning.py']

model = dict(data_preprocessor=_base_.normalisation)
