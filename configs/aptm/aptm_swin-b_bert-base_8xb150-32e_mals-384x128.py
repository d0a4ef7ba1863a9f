# APTM's pre-training on the whole of MALS, attributes included. Paper and
# release agree but where a line says so.
_base_ = [
    '../_base_/datasets/mals_bert.py',
    '../_base_/models/swin_bert.py',
    '../_base_/schedules/adamw_32e_aptm.py',
    '../_base_/default_runtime.py',
]

model = dict(
    encoder=_base_.imagenet_bert,
    losses=dict(attributes=_base_.attribute_loss),
    data_preprocessor=_base_.normalisation)
