_base_ = ['./wora_rde/wora-r8-rde_clip-vit-b16_1xb128-60e_cuhk-pedes-384x128.py']
