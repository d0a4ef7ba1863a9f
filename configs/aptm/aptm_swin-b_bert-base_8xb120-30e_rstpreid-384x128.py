# APTM's fine-tuning on RSTPReid.
_base_ = ['../_base_/datasets/rstp_reid_bert.py', '../_base_/aptm_tuning.py']

model = dict(data_preprocessor=_base_.normalisation)
