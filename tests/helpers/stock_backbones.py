"""Stock backbones of other libraries, at tiny size."""

import open_clip
import pytest
import torch

from mmtpr.registry import MODELS


def _mmpretrain(name, **options):
    pytest.importorskip('mmpretrain.models.backbones')
    model = MODELS.build(dict(type=f'mmpretrain.{name}', **options))
    model.init_weights()
    return model


def _timm(name, **options):
    timm = pytest.importorskip('timm')
    return timm.create_model(name, num_classes=0, **options)


def mmpretrain_resnet():
    # As a re-identification model of mmdet has it.
    options = dict(depth=18, stem_channels=8, base_channels=8)
    return _mmpretrain('ResNet', **options, out_indices=(3,))


def mmpretrain_swin():
    arch = dict(embed_dims=16, depths=[2, 2], num_heads=[2, 4])
    return _mmpretrain(
        'SwinTransformer',
        arch=arch,
        img_size=32,
        window_size=4,
        out_indices=(1,),
    )


def mmpretrain_convnext():
    arch = dict(depths=[1, 2], channels=[8, 16])
    return _mmpretrain('ConvNeXt', arch=arch, out_indices=(1,))


def mmpretrain_dinov2():
    # The options of mmpretrain's configs of DINOv2.
    arch = dict(embed_dims=32, num_layers=2, num_heads=2)
    arch['feedforward_channels'] = 64
    return _mmpretrain(
        'VisionTransformer',
        arch=arch,
        img_size=28,
        patch_size=14,
        layer_scale_init_value=1e-1,
    )


def timm_vit():
    sizes = dict(patch_size=8, embed_dim=32, depth=2, num_heads=2)
    return _timm('vit_tiny_patch16_224', img_size=32, **sizes)


def timm_dinov2():
    sizes = dict(embed_dim=32, depth=2, num_heads=2)
    return _timm('vit_small_patch14_dinov2', img_size=28, **sizes)


def timm_swin():
    sizes = dict(embed_dim=16, depths=(2, 2), num_heads=(2, 4))
    return _timm('swin_tiny_patch4_window7_224', img_size=56, **sizes)


def timm_beit():
    # Reads qkv.weight itself.
    sizes = dict(embed_dim=32, depth=2, num_heads=2)
    return _timm('beit_base_patch16_224', img_size=32, **sizes)


def timm_convnext():
    return _timm('convnext_atto', depths=(1, 1, 1, 1), dims=(8, 8, 16, 16))


def open_clip_vit():
    vision = dict(
        image_size=32, layers=2, width=32, patch_size=8, head_width=16
    )
    return _clip(vision).visual


def open_clip_resnet():
    vision = dict(image_size=32, layers=(1, 1, 1, 1), width=8, patch_size=None)
    return _clip(vision).visual


def _clip(vision):
    text = dict(context_length=8, vocab_size=50, width=16, heads=2, layers=1)
    return open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text)


#: Name to builder, targets, and how many layers these adapt.
BACKBONES = {
    'mmpretrain ResNet': (mmpretrain_resnet, [dict(type=r'.*conv\d')], 17),
    'mmpretrain Swin': (
        mmpretrain_swin,
        [
            dict(type=r'patch_embed\.projection'),
            dict(type=r'stages\.\d\.blocks\.\d\.attn\.w_msa\.qkv\.(q|v)'),
            dict(type=r'.*\.ffn\..*'),
        ],
        17,
    ),
    'mmpretrain ConvNeXt': (
        mmpretrain_convnext,
        [
            dict(type=r'.*\.pointwise_conv\d'),
            dict(type=r'stages\.0\..*\.depthwise_conv', rank=8),
            dict(type=r'downsample_layers\..*'),
        ],
        9,
    ),
    'mmpretrain DINOv2': (
        mmpretrain_dinov2,
        [dict(type=r'layers\.\d\.attn\.qkv\.(q|k|v)'), dict(type='.*proj')],
        8,
    ),
    'timm ViT': (
        timm_vit,
        [
            dict(type=r'blocks\.\d\.attn\.qkv\.(q|v)'),
            dict(type=r'patch_embed\.proj'),
        ],
        5,
    ),
    'timm DINOv2': (timm_dinov2, [dict(type=r'blocks\..*', rank=2)], 8),
    'timm Swin': (
        timm_swin,
        [dict(type=r'layers\..*\.attn\.(qkv\.k|proj)')],
        8,
    ),
    'timm BEiT': (timm_beit, [dict(type=r'.*\.qkv\.(q|v)')], 4),
    'timm ConvNeXt': (
        timm_convnext,
        [
            dict(type=r'stages\.\d\.blocks\..*\.conv_dw', rank=16),
            dict(type=r'.*\.mlp\.fc\d'),
        ],
        12,
    ),
    'open_clip ViT': (
        open_clip_vit,
        [dict(type=r'transformer\..*'), dict(type='conv1')],
        13,
    ),
    'open_clip ResNet': (
        open_clip_resnet,
        [dict(type=r'layer\d\..*'), dict(type=r'attnpool\.[qkv]_proj')],
        19,
    ),
}


def images_for(name, batch=2):
    """Images of the size that a backbone takes."""
    torch.manual_seed(1)
    side = {'mmpretrain DINOv2': 28, 'timm DINOv2': 28, 'timm Swin': 56}
    return torch.randn(batch, 3, *[side.get(name, 32)] * 2)


def first_output(output):
    """The tensor in what a backbone returns."""
    while isinstance(output, tuple | list):
        output = output[-1]
    return output
