# RSTPReid; docs/user_guides/data.md shows the folders.
rstp_root = 'data/RSTPReid'

rstp_train = dict(
    type='mmtpr.RSTPReid',
    data_root=rstp_root,
    ann_file='data_captions.json',
    data_prefix=dict(img_path='imgs'),
    split='train')
rstp_val = dict(
    type='mmtpr.RSTPReid',
    data_root=rstp_root,
    ann_file='data_captions.json',
    data_prefix=dict(img_path='imgs'),
    split='val',
    test_mode=True)
rstp_test = dict(
    type='mmtpr.RSTPReid',
    data_root=rstp_root,
    ann_file='data_captions.json',
    data_prefix=dict(img_path='imgs'),
    split='test',
    test_mode=True)
