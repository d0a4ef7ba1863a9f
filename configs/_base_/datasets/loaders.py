# How samples are loaded, whatever they are: the dataset and, where it differs,
# the batch size come with the config.
#
# num_workers: processes that load, for each GPU. One loads 500 samples a second
# of APTM to 1,800 of CLIP; take as many as the GPU eats up, and not more than
# its share of the cores. prefetch_factor: batches that each of them loads ahead.
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    # Workers that live on keep their random state, and a resumed run would
    # then differ from the one that was never stopped.
    persistent_workers=False,
    prefetch_factor=2,
    pin_memory=True,
    # One tensor a field: a tensor a sample would cost an open file each.
    collate_fn=dict(type='mmtpr.collate_samples'),
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmtpr.seed_worker'))
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    prefetch_factor=2,
    pin_memory=True,
    collate_fn=dict(type='mmtpr.collate_samples'),
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    # The batches of one process, whatever their number.
    batch_sampler=dict(type='mmtpr.WholeBatchSampler'))
test_dataloader = val_dataloader
