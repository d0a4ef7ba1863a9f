# ITCPR, test only; docs/user_guides/composed.md shows the folders.
itcpr_root = 'data/ITCPR'

itcpr_test = dict(
    type='mmtpr.ITCPR', data_root=itcpr_root, broken_images='error')
