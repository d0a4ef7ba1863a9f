# What RDE adds to a CLIP: an embedding of selected tokens beside the global
# one, and the triplet alignment loss, summed over pairs, on both. Parts for
# `model`, whichever encoder it has.
rde_losses = dict(
    bge=dict(type='mmtpr.TALLoss', temperature=0.015, margin=0.1),
    tse=dict(
        type='mmtpr.TALLoss', temperature=0.015, margin=0.1, embedding='tse'))
rde_necks = dict(tse=dict(type='mmtpr.TokenSelection', ratio=0.3))
