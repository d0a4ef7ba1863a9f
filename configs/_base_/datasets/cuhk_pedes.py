# CUHK-PEDES; docs/user_guides/data.md shows the folders.
cuhk_root = 'data/CUHK-PEDES'

cuhk_train = dict(
    type='mmtpr.CUHKPEDES',
    data_root=cuhk_root,
    ann_file='reid_raw.json',
    data_prefix=dict(img_path='imgs'),
    split='train')
cuhk_val = dict(
    type='mmtpr.CUHKPEDES',
    data_root=cuhk_root,
    ann_file='reid_raw.json',
    data_prefix=dict(img_path='imgs'),
    split='val',
    test_mode=True)
cuhk_test = dict(
    type='mmtpr.CUHKPEDES',
    data_root=cuhk_root,
    ann_file='reid_raw.json',
    data_prefix=dict(img_path='imgs'),
    split='test',
    test_mode=True)
