# CLIP ViT-B/16 at 384 x 128 with the objectives of IRRA.
encoder = dict(
    type='mmtpr.OpenCLIPEncoder',
    model='ViT-B-16-quickgelu',
    pretrained='openai',
    image_size=(384, 128))

model = dict(
    type='mmtpr.TextPersonRetriever',
    encoder=encoder,
    losses=dict(
        sdm=dict(type='mmtpr.SDMLoss'),
        id=dict(type='mmtpr.IDLoss', num_classes=11003),
        mlm=dict(type='mmtpr.MLMLoss')),
    temperature=0.02,
    gather=True)
