_base_ = ['./word4per/word4per-stage2_clip-vit-b16_1xb128-60e_cuhk-pedes_itcpr-384x128.py']
