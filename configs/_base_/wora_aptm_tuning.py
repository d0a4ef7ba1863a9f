# Filtering-WoRA's fine-tuning, whatever the data. Rate and decay are the paper's
# and APTM's, 1e-4 and 0.01; a file uploaded with the release has 1e-7 and 0.05.
_base_ = [
    './models/swin_bert_wora.py',
    './schedules/adamw_30e_aptm.py',
    './default_runtime.py',
]

model = dict(
    augmented_weight=0.8,
    # As released for CUHK-PEDES, one recipe for all sets; the release's files
    # of ICFG-PEDES and RSTPReid have 0, the paper names no smoothing.
    losses=dict(itm=dict(label_smoothing=0.1)))

# The adapters of pre-training are trained on, as in the release.
load_from = 'work_dirs/wora_aptm_mals/epoch_32.pth'
