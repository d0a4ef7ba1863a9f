_base_ = ['./toy/wora_toy.py']
