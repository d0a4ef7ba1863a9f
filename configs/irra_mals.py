_base_ = ['./irra/irra_clip-vit-b16_8xb64-10e_mals-filtered-384x128.py']
