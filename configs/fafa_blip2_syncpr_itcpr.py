_base_ = ['./fafa/fafa_blip2-vit-g_8xb32-10e_syncpr_itcpr-224x224.py']
