_base_ = ['./rde/rde_clip-vit-b16_1xb128-60e_rstpreid-384x128.py']
