# APTM's fine-tuning on CUHK-PEDES on one GPU of 24 GB, with the batch of eight:
# 8 parts of 120 pairs are encoded one after the other and contrasted together.
# Negatives of ITM come from the 120, as on each of eight GPUs.
_base_ = ['./aptm_swin-b_bert-base_8xb120-30e_cuhk-pedes-384x128.py']

train_dataloader = dict(batch_size=960)
model = dict(accumulate=8, encoder=dict(grad_checkpointing=True))
