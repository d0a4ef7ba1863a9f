# The procedural pedestrians of tools/synthesis/write_toy_data.py, 64 x 32
# (height x width): a clean target set and a noisy set for pre-training.
toy_root = 'data/toy'

noisy_train = dict(
    type='mmtpr.MALS',
    data_root=f'{toy_root}/pretrain',
    ann_file='gene_attrs')
target_train = dict(
    type='mmtpr.CUHKPEDES',
    data_root=f'{toy_root}/target',
    ann_file='reid_raw.json',
    data_prefix=dict(img_path='imgs'),
    split='train')
target_val = dict(
    type='mmtpr.CUHKPEDES',
    data_root=f'{toy_root}/target',
    ann_file='reid_raw.json',
    data_prefix=dict(img_path='imgs'),
    split='val',
    test_mode=True)
target_test = dict(
    type='mmtpr.CUHKPEDES',
    data_root=f'{toy_root}/target',
    ann_file='reid_raw.json',
    data_prefix=dict(img_path='imgs'),
    split='test',
    test_mode=True)

# CLIP's byte pairs as far as the captions use them.
tokenize = dict(
    type='mmtpr.TokenizeCaption',
    tokenizer=dict(bpe_path=f'{toy_root}/vocabulary.txt.gz'),
    context_length=42)

train_pipeline = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='mmtpr.SharedFlip', prob=0.5),
            dict(type='mmtpr.PadCrop', padding=2),
        ]),
    tokenize,
    dict(type='mmtpr.PackRetrievalInputs'),
]
test_pipeline = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[dict(type='LoadImageFromFile')]),
    tokenize,
    dict(type='mmtpr.PackRetrievalInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    collate_fn=dict(type='mmtpr.collate_samples'),
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    collate_fn=dict(type='mmtpr.collate_samples'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    # The batches of one process, whatever their number.
    batch_sampler=dict(type='mmtpr.WholeBatchSampler'))
test_dataloader = val_dataloader

val_evaluator = dict(type='mmtpr.PersonRetrievalMetric')
test_evaluator = val_evaluator
