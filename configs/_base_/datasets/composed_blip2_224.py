# Squares of 224 x 224 and BERT tokens for FAFA on BLIP-2: references, targets
# and sentences.
_base_ = ['./loaders.py']

load_square = [
    dict(type='LoadImageFromFile'),
    dict(type='mmtpr.SquarePad'),
    dict(
        type='Resize',
        scale=(224, 224),
        keep_ratio=False,
        backend='pillow',
        interpolation='bicubic'),
]
# Or the path of a vocab.txt.
tokenize = dict(type='mmtpr.TokenizeBert', vocab='bert-base-uncased')

triplet_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=load_square),
    dict(
        type='mmtpr.ImageTransforms',
        transforms=load_square,
        mapping=dict(img_path='reference_path', img='reference_img')),
    dict(type='mmtpr.SharedFlip', prob=0.5),
    tokenize,
    dict(
        type='mmtpr.PackRetrievalInputs',
        image_keys=dict(image='img', reference='reference_img')),
]
# Queries and gallery: one image each.
plain_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=load_square),
    tokenize,
    dict(type='mmtpr.PackRetrievalInputs'),
]

train_dataloader = dict(batch_size=32)
val_dataloader = dict(batch_size=64)
test_dataloader = val_dataloader

# The Q-Former makes composed queries alone: no rows to set beside them.
val_evaluator = dict(
    type='mmtpr.PersonRetrievalMetric', match_key='instance_id', topk_tokens=6)
test_evaluator = val_evaluator
