# The light FAFA on all that the data engine made, good or bad.
_base_ = ['./fafa_synthesis_toy.py']

train_dataloader = dict(
    dataset=dict(ann_file=f'{_base_.made}/everything/SynCPR.json'))
