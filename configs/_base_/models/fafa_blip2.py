# FAFA on BLIP-2 stage 1: the Q-Former fuses reference and sentence to a query,
# and turns a target into 32 tokens, of which the best 6 count. The ViT is
# frozen, the norm over it trains. Needs the extra [blip2].
encoder = dict(
    type='mmtpr.BLIP2Encoder',
    # Or a local folder, or a file of LAVIS (blip2_pretrained.pth) or FAFA.
    pretrained='Salesforce/blip2-itm-vit-g',
    frozen=('vision', ),
    vision_dtype='bfloat16')

model = dict(
    type='mmtpr.ComposedPersonRetriever',
    encoder=encoder,
    head=dict(
        type='mmtpr.FAFAHead',
        topk_tokens=6,
        temperature=None,  # BLIP-2's own
        fd_weight=1.0,
        mfr_weight=0.5,
        noise=dict(type='mmtpr.TokenStatisticsNoise', p=0.8)),
    gather=True)
