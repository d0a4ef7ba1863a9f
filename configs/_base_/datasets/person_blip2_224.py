# Images of 224 x 224 and BERT tokens, as BLIP-2 was trained.
test_pipeline = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(
                type='Resize',
                scale=(224, 224),
                keep_ratio=False,
                backend='pillow',
                interpolation='bicubic'),
        ]),
    # Or the path of a vocab.txt.
    dict(type='mmtpr.TokenizeBert', vocab='bert-base-uncased'),
    dict(type='mmtpr.PackRetrievalInputs'),
]
