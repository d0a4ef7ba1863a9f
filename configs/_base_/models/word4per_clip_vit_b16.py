# Word4Per, stage 2: the encoder of stage 1, frozen, and a TINet that turns its
# image feature into a word.
encoder = dict(
    type='mmtpr.OpenCLIPEncoder',
    model='ViT-B-16-quickgelu',
    pretrained='work_dirs/word4per_stage1_cuhk/epoch_60.pth',
    image_size=(384, 128))
tinet = dict(type='mmtpr.TINet', hidden_dim=512, num_layers=2, dropout=0.1)

model = dict(
    type='mmtpr.ComposedPersonRetriever',
    encoder=encoder,
    query=dict(
        type='mmtpr.PseudoWordQuery',
        tinets=[tinet],
        prompt='a photo of',
        template='a * is , {}',
        placeholder='*',
        tokenizer='ViT-B-16'),
    # What the word means: the caption (text), the image (vis), or both.
    losses=dict(text=dict(type='mmtpr.SDMLoss', weight=1.0)),
    freeze_encoder=True,
    temperature=0.02)
