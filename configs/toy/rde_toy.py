# RDE on the clean target set: the losses and the neck of rde_cuhk.py.
_base_ = ['./full_toy.py', '../_base_/models/selected_tokens.py']

model = dict(
    losses=dict(_delete_=True, **_base_.rde_losses),
    necks=dict(
        tse=dict(_base_.rde_necks.tse, embed_dim=256, hidden_dim=128)))
