# APTM's fine-tuning, whatever the data. Paper and release agree.
_base_ = [
    './models/swin_bert.py',
    './schedules/adamw_30e_aptm.py',
    './default_runtime.py',
]

model = dict(
    encoder=dict(pretrained='work_dirs/aptm_mals/epoch_32.pth'),
    augmented_weight=0.8)
