# SynCPR. Its val split, 1,000 group ids, chooses checkpoints: ITCPR is for
# tests alone.
syn_cpr_root = 'data/SynCPR'

syn_cpr_train = dict(
    type='mmtpr.SynCPR', data_root=syn_cpr_root, split='train', val_ids=1000)
syn_cpr_val = dict(
    type='mmtpr.SynCPR',
    data_root=syn_cpr_root,
    split='val',
    val_ids=1000,
    test_mode=True)
