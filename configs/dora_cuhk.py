_base_ = ['./dora/dora-r8_clip-vit-b16_1xb64-60e_cuhk-pedes-384x128.py']
