# How samples are loaded, whatever they are: the dataset and, where it differs,
# the batch size come with the config.
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    # Workers that live on keep their random state, and a resumed run would
    # then differ from the one that was never stopped.
    persistent_workers=False,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmtpr.seed_worker'))
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    # The batches of one process, whatever their number.
    batch_sampler=dict(type='mmtpr.WholeBatchSampler'))
test_dataloader = val_dataloader
