# BLIP-2 stage 1 as published, as a judge of image-caption pairs: 32 tokens of
# the image against the caption. Needs the extra [blip2].
encoder = dict(
    type='mmtpr.BLIP2Encoder',
    # Or a local folder, or a file of LAVIS (blip2_pretrained.pth).
    pretrained='Salesforce/blip2-itm-vit-g')

model = dict(type='mmtpr.BLIP2Scorer', encoder=encoder)
