_base_ = ['./toy/wora_aptm_toy.py']
