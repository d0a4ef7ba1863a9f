# Filtering-WoRA's fine-tuning, whatever the data.
_base_ = [
    './models/swin_bert_wora.py',
    './schedules/adamw_30e_aptm.py',
    './default_runtime.py',
]

model = dict(
    augmented_weight=0.8,
    # As released for CUHK-PEDES (its files of the other sets have 0); the paper
    # names no smoothing.
    losses=dict(itm=dict(label_smoothing=0.1)))

# The adapters of pre-training are trained on, as in the release.
load_from = 'work_dirs/wora_aptm_mals/epoch_32.pth'
