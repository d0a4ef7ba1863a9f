# Stage 1: CLIP tuned on images and captions, as IRRA is, for stage 2 to
# build on.
_base_ = ['../irra/irra_clip-vit-b16_1xb64-60e_cuhk-pedes-384x128.py']
