_base_ = ['./aptm/aptm_swin-b_bert-base_8xb120-30e_icfg-pedes-384x128.py']
