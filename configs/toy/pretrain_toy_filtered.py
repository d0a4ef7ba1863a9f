# Pre-training goes on with the pairs that fit. The share kept is the one that
# the paper keeps of MALS.
_base_ = ['./pretrain_toy.py']

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=_base_.train_dataloader.dataset,
        scores=_base_.relevance_scores,
        keep_ratio=0.79))

model = dict(encoder=dict(pretrained=_base_.noisy_weights))

train_cfg = dict(max_epochs=1)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=1,
        begin=0,
        end=1,
        convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
