# Stage 2 of Word4Per: a TINet on the clean target set, over the frozen encoder
# that `make demo` pre-trained. Features are computed once and cached.
_base_ = [
    './_base_/composed_data.py',
    './_base_/model.py',
    './_base_/schedule.py',
    '../_base_/default_runtime.py',
]

encoder = _base_.encoder
encoder.pretrained = _base_.filtered_weights
tinet = dict(type='mmtpr.TINet', hidden_dim=256, num_words=4)

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        type='mmtpr.CachedFeatureDataset',
        dataset=dict(_base_.target_train, pipeline=_base_.test_pipeline),
        encoder=encoder,
        cache='work_dirs/word4per_toy_features/train'))

model = dict(
    _delete_=True,
    type='mmtpr.ComposedPersonRetriever',
    encoder=encoder,
    query=dict(
        type='mmtpr.PseudoWordQuery',
        tinets=[tinet],
        prompt='a photo of',
        template='a * is , {}',
        tokenizer=_base_.tokenize.tokenizer),
    losses=dict(text=dict(type='mmtpr.SDMLoss')),
    freeze_encoder=True,
    temperature=0.02)

train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=4,
        begin=0,
        end=4,
        convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
