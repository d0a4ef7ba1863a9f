_base_ = ['./aptm/aptm_swin-b_bert-base_1xb960-30e_cuhk-pedes-384x128.py']
