# ICFG-PEDES has no val split: 102 training identities are set aside for it.
icfg_root = 'data/ICFG-PEDES'

icfg_train = dict(
    type='mmtpr.ICFGPEDES',
    data_root=icfg_root,
    ann_file='ICFG-PEDES.json',
    data_prefix=dict(img_path='imgs'),
    split='train',
    val_pids=102)
icfg_val = dict(
    type='mmtpr.ICFGPEDES',
    data_root=icfg_root,
    ann_file='ICFG-PEDES.json',
    data_prefix=dict(img_path='imgs'),
    split='val',
    test_mode=True,
    val_pids=102)
icfg_test = dict(
    type='mmtpr.ICFGPEDES',
    data_root=icfg_root,
    ann_file='ICFG-PEDES.json',
    data_prefix=dict(img_path='imgs'),
    split='test',
    test_mode=True)
