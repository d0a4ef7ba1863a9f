_base_ = ['./wora_aptm/wora-r8_swin-b_bert-base_8xb150-32e_mals-filtered-384x128.py']
