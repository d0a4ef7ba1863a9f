_base_ = ['./aptm/aptm_swin-b_bert-base_pa100k-384x128.py']
