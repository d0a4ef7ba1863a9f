# RDE on the noisy set, 30 % of whose captions are wrong: after an epoch on all
# pairs, only those train that both losses hold for right.
_base_ = [
    './pretrain_toy.py',
    '../_base_/models/selected_tokens.py',
    '../_base_/models/consensus_division.py',
]

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.SelectedPairsDataset',
        dataset=_base_.train_dataloader.dataset,
        selector=_base_.pair_selector,
        plain_pipeline=_base_.test_pipeline))

model = dict(
    losses=dict(_delete_=True, **_base_.rde_losses),
    necks=dict(
        tse=dict(_base_.rde_necks.tse, embed_dim=256, hidden_dim=128)))

custom_hooks = [dict(type='mmtpr.PairSelectionHook', start=1, batch_size=256)]
