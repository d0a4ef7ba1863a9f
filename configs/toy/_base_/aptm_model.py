# A small Swin and a small BERT whose upper layers read images.
encoder = dict(
    type='mmtpr.SwinBertEncoder',
    image=dict(
        arch=dict(embed_dims=64, depths=[2, 1], num_heads=[4, 8]),
        patch_size=8,
        window_size=4,
        # With relative positions alone it takes long to tell top from bottom.
        use_abs_pos_embed=True,
        position_std=1.0,
        init_std=0.1,
        drop_path_rate=0.0),
    text=dict(
        vocab_size=256,  # the toy captions have fewer words
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=8,
        intermediate_size=256,
        max_position_embeddings=64,
        initializer_range=0.09,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0),
    image_size=(64, 32),
    fusion_layer=2,
    embed_dim=128,
    temperature=0.05)

model = dict(
    type='mmtpr.CrossModalPersonRetriever',
    encoder=encoder,
    losses=dict(
        itc=dict(type='mmtpr.ITCLoss', positives='pid'),
        # Hidden words of captions cost more than they bring in minutes.
        itm=dict(type='mmtpr.ITMLoss', positives='pid')))

# WoRA: adapters in all linear layers of the image tower; what is not one
# there, and all of the text side, trains fully.
image_linears = [dict(type=r'vision\..*')]
trainable = [
    r'vision\.patch_embed',
    r'vision\..*(norm\d?|relative_position_bias_table)',
    r'(bert|image_projection|text_projection|itm_head)\..*',
    'temperature',
]
