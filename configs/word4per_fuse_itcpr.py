_base_ = ['./word4per/word4per-fuse2_clip-vit-b16_itcpr-384x128.py']
