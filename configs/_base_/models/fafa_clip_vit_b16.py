# The light FAFA: a CLIP that trains whole, queries by a TINet, and 24 x 8
# patches pooled to 8 x 4 target tokens, of which the best 6 count.
encoder = dict(
    type='mmtpr.OpenCLIPEncoder',
    model='ViT-B-16-quickgelu',
    pretrained='openai',
    image_size=(384, 128))

model = dict(
    type='mmtpr.ComposedPersonRetriever',
    encoder=encoder,
    query=dict(
        type='mmtpr.PseudoWordQuery',
        tinets=dict(type='mmtpr.TINet', hidden_dim=512),
        tokenizer='ViT-B-16'),
    target=dict(type='mmtpr.PatchTokens', grid=(8, 4)),
    head=dict(
        type='mmtpr.FAFAHead',
        topk_tokens=6,
        temperature=0.02,
        variant='released',
        fd_weight=1.0,
        mfr_weight=0.5,
        noise=dict(type='mmtpr.TokenStatisticsNoise', p=0.8)),
    gather=True)
