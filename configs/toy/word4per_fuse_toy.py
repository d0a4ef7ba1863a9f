# Two TINets, of word4per_toy.py and word4per_vis_toy.py, as one query. Join
# their checkpoints with tools/model_converters/fuse_tinets.py and test.
_base_ = ['./word4per_toy.py']

tinet = _base_.tinet

model = dict(
    encoder=dict(pretrained=None),  # comes with the joined checkpoint
    query=dict(tinets=[tinet, tinet]))

test_evaluator = dict(rows=('image', 'text', 'sum', 'tinet0', 'tinet1'))
