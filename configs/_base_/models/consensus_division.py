# What RDE does about wrong pairs: before each epoch a forward pass over the
# training set, a mixture for each of its losses, and out of the epoch with what
# none of them holds for right. Needs mmtpr[filtering]. A dataset gets it by
# a mmtpr.SelectedPairsDataset around it.
pair_selector = dict(type='mmtpr.ConsensusDivision')

custom_hooks = [dict(type='mmtpr.PairSelectionHook', batch_size=128)]
