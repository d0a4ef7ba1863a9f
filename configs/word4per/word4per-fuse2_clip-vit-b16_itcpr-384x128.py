# Two TINets, trained with L_Text and with L_Vis, as one query. Join their
# checkpoints with tools/model_converters/fuse_tinets.py and test the result.
_base_ = [
    './word4per-stage2_clip-vit-b16_1xb128-60e_cuhk-pedes_itcpr-384x128.py'
]

tinet = _base_.tinet

model = dict(
    encoder=dict(pretrained=None),  # comes with the joined checkpoint
    query=dict(tinets=[tinet, tinet]))

test_evaluator = dict(rows=('image', 'text', 'sum', 'tinet0', 'tinet1'))
