# APTM's pre-training: 32 epochs, batch 150 on each of 8 GPUs, AdamW at 1e-4,
# 2,600 iterations of warm-up, then linearly to zero.
optim_wrapper = dict(
    type='OptimWrapper',
    # Biases, norms, magnitudes, alpha and beta do not decay.
    constructor='mmtpr.NoDecayOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW', lr=1e-4, betas=(0.9, 0.98), weight_decay=0.01),
    # Cross-attention is new and learns twice as fast.
    paramwise_cfg=dict(custom_keys={'crossattention': dict(lr_mult=2.0)}))

max_epochs = 32
batch_size = 8 * 150
warmup_epochs = 2600 * batch_size / 1510330  # pairs of MALS, unfiltered
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True),
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.0,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True),
]

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
