_base_ = ['./irra/irra_clip-vit-b16_1xb64-60e_cuhk-pedes-384x128.py']
