# The triplets and test sets of tools/synthesis/write_composed_toy_data.py,
# 64 x 32 (height x width), on top of the pairs of data.py, whose vocabulary
# covers the sentences too.
_base_ = ['./data.py']

composed_root = 'data/toy_composed'

triplets = dict(type='mmtpr.SynCPR', data_root=f'{composed_root}/train')
composed_val = dict(
    type='mmtpr.ITCPR',
    data_root=f'{composed_root}/val',
    pipeline=_base_.test_pipeline)
composed_test = dict(
    type='mmtpr.ITCPR',
    data_root=f'{composed_root}/test',
    pipeline=_base_.test_pipeline)

# Reference and target flip together: left stays left.
load = [dict(type='LoadImageFromFile')]
triplet_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=load),
    dict(
        type='mmtpr.ImageTransforms',
        transforms=load,
        mapping=dict(img_path='reference_path', img='reference_img')),
    dict(type='mmtpr.SharedFlip', prob=0.5),
    _base_.tokenize,
    dict(
        type='mmtpr.PackRetrievalInputs',
        image_keys=dict(image='img', reference='reference_img')),
]

val_dataloader = dict(dataset=composed_val)
test_dataloader = dict(dataset=composed_test)

# Rows for image alone, text alone, their sum and the composed query.
val_evaluator = dict(_delete_=True, type='mmtpr.ComposedRetrievalMetric')
test_evaluator = val_evaluator
