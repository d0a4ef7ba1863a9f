# MALS: 1.51 M synthetic pairs in 91 json shards.
mals_train = dict(
    type='mmtpr.MALS',
    data_root='data/MALS',
    ann_file='gene_attrs',
    data_prefix=dict(img_path=''))
