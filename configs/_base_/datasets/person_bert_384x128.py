# Images at 384 x 128 (height x width) and 56 BERT tokens, as APTM trains. mmcv
# gives scales as (width, height). The files of datasets on top know the mean of
# their images: they put the training pipelines together, and erased rectangles
# are filled with this mean.
_base_ = ['./loaders.py']

vocab = 'bert-base-uncased'  # or the path of a vocab.txt
load = [
    dict(type='LoadImageFromFile'),
    dict(
        type='Resize',
        scale=(128, 384),
        keep_ratio=False,
        backend='pillow',
        interpolation='bicubic'),
]
# Two of ten at level 7 of 10, with the ranges of the release.
half = dict(random_negative_prob=0.5)
shift = dict(half, type='mmpretrain.Translate', pad_val=128)
shear = dict(half, type='mmpretrain.Shear', pad_val=128)
augment = dict(
    type='mmpretrain.RandAugment',
    num_policies=2,
    magnitude_level=7,
    policies=[
        dict(type='mmtpr.Brightness', magnitude=0.0),  # no change
        dict(type='mmtpr.AutoContrast'),
        dict(type='mmtpr.Equalize'),
        dict(type='mmtpr.Brightness', magnitude_range=(-0.9, 0.9)),
        dict(type='mmpretrain.Sharpness', magnitude_range=(-0.9, 0.9)),
        dict(shear, magnitude_range=(0, 0.3), direction='horizontal'),
        dict(shear, magnitude_range=(0, 0.3), direction='vertical'),
        dict(shift, magnitude_range=(0, 10 / 128), direction='horizontal'),
        dict(shift, magnitude_range=(0, 10 / 384), direction='vertical'),
        dict(
            half,
            type='mmpretrain.Rotate',
            pad_val=128,
            magnitude_range=(0, 30)),
    ])
augmented = [*load, dict(type='mmtpr.SharedFlip', prob=0.5), augment]
erase = dict(type='mmtpr.RandomErasingMean', prob=0.6)  # takes fill, BGR
tokenize = dict(
    type='mmtpr.TokenizeBert', vocab=vocab, max_length=56, clean=False)
# Words only; the release hides padding as well and so, of its ten, few words.
hide = dict(type='mmtpr.MaskBertTokens', vocab=vocab, prob=0.25, max_masked=10)
pack = dict(type='mmtpr.PackRetrievalInputs')

pretrain_texts = [tokenize, hide, pack]
# EDA: without a table of synonyms (synonyms='FILE.json'; the release asks
# WordNet) words are swapped and left out, not replaced or inserted.
train_texts = [
    dict(type='mmtpr.CaptionEDA', target='eda_caption'),
    tokenize,
    # Captions that are drawn anew each time are not worth keeping.
    dict(tokenize, source='eda_caption', target='eda_tokens', keep=False),
    hide,
    pack,
]
test_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=load), tokenize, pack
]

train_dataloader = dict(batch_size=120)  # on each of 8 GPUs

# The best 128 by cosine are judged by the cross encoder.
val_cfg = dict(type='mmtpr.RerankValLoop', num_candidates=128)
test_cfg = dict(type='mmtpr.RerankTestLoop', num_candidates=128)
val_evaluator = dict(type='mmtpr.RerankedRetrievalMetric')
test_evaluator = val_evaluator
