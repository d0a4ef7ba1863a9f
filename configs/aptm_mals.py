_base_ = ['./aptm/aptm_swin-b_bert-base_8xb150-32e_mals-384x128.py']
