_base_ = ['./fafa/fafa_clip-vit-b16_8xb32-10e_syncpr_itcpr-384x128.py']
