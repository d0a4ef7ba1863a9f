# WoRA on the base model of Filtering-WoRA: adapters in all 99 linear layers of
# the image tower; what is not one there, and all of the text side, trains
# fully, as in the release.
_base_ = ['./swin_bert.py']

image_linears = [dict(type=r'vision\..*')]
trainable = [
    r'vision\.patch_embed',
    r'vision\..*(norm\d?|relative_position_bias_table)',
    r'(bert|image_projection|text_projection|itm_head)\..*',
    'temperature',
]

model = dict(
    encoder=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=_base_.encoder,
        rank=8,
        alpha=8.0,
        beta=1.0,
        targets=image_linears,
        trainable=trainable))
