# A scorer trained on the clean target set alone, as data filtering networks are:
# its image encoder has convolutions, and its losses ask for every word, since
# it has to see a single wrong one. It scores by scorer_noisy_toy.py.
_base_ = ['./full_toy.py']

model = dict(
    encoder=dict(
        model=dict(
            _delete_=True,
            embed_dim=128,
            vision_cfg=dict(
                image_size=(64, 32),
                timm_model_name='resnet10t',
                timm_model_pretrained=False,
                timm_pool='avg',
                timm_proj='linear'),
            text_cfg=_base_.clip_tiny.text_cfg),
        pretrained=None),
    losses=dict(
        swapped=dict(type='mmtpr.SwappedWordsLoss'),
        words=dict(type='mmtpr.CaptionWordsLoss', weight=0.5)))

# From the start, so longer than a tuning; it is paid once.
train_cfg = dict(max_epochs=6, val_interval=6)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.05,
        by_epoch=False,
        begin=0,
        end=40),
    dict(
        type='CosineAnnealingLR',
        T_max=5.8,
        begin=0.2,
        end=6,
        convert_to_iter_based=True),
]
