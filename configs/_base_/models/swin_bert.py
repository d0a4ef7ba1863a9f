# The base model of Filtering-WoRA (APTM): Swin-B with windows of 8 at 384 x 128
# and BERT-base, whose upper six layers read images. Needs the extra [blip2].
encoder = dict(
    type='mmtpr.SwinBertEncoder',
    image=dict(arch='base', window_size=8, drop_path_rate=0.1),
    image_size=(384, 128),
    fusion_layer=6,
    embed_dim=256,
    temperature=0.07)
# What pre-training starts from: Microsoft's file, and a name of the hub or a
# folder. Fine-tuning starts from a checkpoint of pre-training instead.
imagenet_bert = dict(
    image_pretrained='checkpoints/swin_base_patch4_window7_224_22k.pth',
    text_pretrained='bert-base-uncased')

model = dict(
    type='mmtpr.CrossModalPersonRetriever',
    encoder=encoder,
    losses=dict(
        # The "image_id" of the release is the person.
        itc=dict(type='mmtpr.ITCLoss', positives='pid'),
        itm=dict(type='mmtpr.ITMLoss', positives='pid'),
        mlm=dict(type='mmtpr.CrossModalMLMLoss')),
    gather=True)

# A checkpoint fits, name by name, or the run stops.
custom_hooks = [dict(type='mmtpr.StrictLoadHook')]
