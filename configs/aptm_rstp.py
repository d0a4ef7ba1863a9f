_base_ = ['./aptm/aptm_swin-b_bert-base_8xb120-30e_rstpreid-384x128.py']
