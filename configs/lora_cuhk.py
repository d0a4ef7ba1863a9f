_base_ = ['./lora/lora-r8_clip-vit-b16_1xb64-60e_cuhk-pedes-384x128.py']
