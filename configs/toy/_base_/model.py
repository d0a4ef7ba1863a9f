# A dual encoder of 1 M parameters: 2 image and 2 text layers of width 128, with
# many small heads: an attribute is a few patches here and two words there.
clip_tiny = dict(
    embed_dim=128,
    vision_cfg=dict(
        image_size=(64, 32),
        patch_size=8,
        layers=2,
        width=128,
        head_width=16),
    text_cfg=dict(
        context_length=42,
        vocab_size=1024,  # the words of the toy captions are fewer
        layers=2,
        width=128,
        heads=8))
encoder = dict(type='mmtpr.OpenCLIPEncoder', model=clip_tiny)

model = dict(
    type='mmtpr.TextPersonRetriever',
    encoder=encoder,
    losses=dict(itc=dict(type='mmtpr.ITCLoss')),
    temperature=0.03)

# WoRA and its like: adapters in every linear layer of the image encoder; what
# is not one there, and the text encoder, trains fully.
image_linears = [
    dict(type=r'clip\.visual\..*\.attn\.(q|k|v|out_proj)'),
    dict(type=r'clip\.visual\..*\.mlp\.(c_fc|c_proj)'),
]
trainable = [
    r'clip\.visual\.(class_embedding|positional_embedding|proj|conv1\..*)',
    r'clip\.visual\..*ln_\w+\..*',
    r'clip\.(token_embedding|transformer|ln_final)\..*',
    r'clip\.(positional_embedding|text_projection)',
]
