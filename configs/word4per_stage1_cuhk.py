_base_ = ['./word4per/word4per-stage1_clip-vit-b16_1xb64-60e_cuhk-pedes-384x128.py']
