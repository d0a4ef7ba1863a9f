"""Families of checkpoints, told from their keys."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOOL = 'tools/model_converters/'


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint.

    Attributes:
        name (str): What its users call it.
        marks (tuple[str, ...]): Regular expressions; each is found in a key.
        reader (str): What takes such files, for messages.
    """

    name: str
    marks: tuple[str, ...]
    reader: str = ''


#: The first one that fits is taken, so special cases come first.
FAMILIES = (
    Family(
        'adapters of peft', (r'^base_model\.model\..*(lora_A|oft_R)\.weight$',)
    ),
    Family(
        'mmtpr with adapters',
        (r'\.(lora_A|oft_R)$',),
        f'{_TOOL}merge_adapters.py and {_TOOL}export_peft.py',
    ),
    Family(
        'mmtpr composed retrieval',
        (r'^query\.tinets\.',),
        f'{_TOOL}word4per.py --export',
    ),
    Family(
        'mmtpr cross-modal retrieval',
        (r'^encoder\..*stages\.\d+\.blocks\.', r'^encoder\..*word_embeddings'),
        f'{_TOOL}aptm.py --export',
    ),
    Family(
        'mmtpr RDE',
        (r'^encoder\.clip\.', r'^necks\.\w+\.image\.hidden\.'),
        f'{_TOOL}rde.py --export',
    ),
    Family(
        'mmtpr text retrieval',
        (r'^encoder\.clip\.',),
        f'{_TOOL}irra.py --export and {_TOOL}openai_clip.py --export',
    ),
    Family(
        'mmtpr BLIP-2',
        (r'^encoder\.blip2\.',),
        f'{_TOOL}blip2.py --export',
    ),
    Family(
        'Filtering-WoRA',
        (r'^vision_encoder\..*\.lora\.A$', r'^text_encoder\.'),
        f'{_TOOL}aptm.py',
    ),
    Family(
        'APTM or X-VLM',
        (r'^vision_encoder\.layers\.\d+\.blocks\.', r'^text_encoder\.'),
        f'{_TOOL}aptm.py',
    ),
    Family(
        'LAVIS BLIP-2 or FAFA',
        (r'visual_encoder\.cls_token$', r'Qformer\.'),
        f'{_TOOL}blip2.py',
    ),
    Family(
        'BLIP-2 of transformers',
        (r'vision_model\.embeddings\.', r'^(qformer|query_tokens)'),
        'pretrained of mmtpr.BLIP2Encoder',
    ),
    Family('ALBEF or BLIP', (r'^visual_encoder\.', r'^text_encoder\.'), ''),
    Family(
        'RDE',
        (r'^base_model\.(visual|token_embedding)\.', r'^visul_emb_layer\.'),
        f'{_TOOL}rde.py',
    ),
    Family(
        'IRRA or Word4Per',
        (r'^base_model\.(visual|token_embedding)\.',),
        f'{_TOOL}irra.py',
    ),
    Family('TINet', (r'^fc_out\.', r'^layers\.0\.0\.'), f'{_TOOL}word4per.py'),
    Family(
        'OpenAI CLIP',
        (r'^visual\.', r'^token_embedding\.', r'^text_projection$'),
        f'{_TOOL}openai_clip.py and pretrained of mmtpr.OpenCLIPEncoder',
    ),
    Family(
        'open_clip with a text tower of its own',
        (r'^visual\.', r'^text\.'),
        'pretrained of mmtpr.OpenCLIPEncoder',
    ),
    Family('CLIP of transformers', (r'^vision_model\.', r'^text_model\.')),
    Family(
        'Swin Transformer V2', (r'layers\.\d+\.blocks\.\d+\.attn\.cpb_mlp',)
    ),
    Family(
        'Microsoft Swin',
        (r'^layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table',),
        f'{_TOOL}swin.py',
    ),
    Family(
        'mmpretrain.SwinTransformer',
        (r'^(backbone\.)?stages\.\d+\.blocks\.\d+\.attn\.w_msa\.',),
        f'{_TOOL}swin.py --export',
    ),
    Family('BERT', (r'^(bert\.)?embeddings\.word_embeddings',)),
    Family('a ViT of timm', (r'^blocks\.\d+\.attn\.qkv', r'^cls_token$')),
    Family('a ResNet', (r'^(backbone\.)?layer1\.0\.conv1\.weight$',)),
)


def identify(keys: Iterable[str]) -> Family | None:
    """Tell the family of a state dict.

    Args:
        keys (Iterable[str]): Its keys.

    Returns:
        Family | None: The family, if it is a known one.
    """
    keys = list(keys)
    for family in FAMILIES:
        if all(
            any(re.search(mark, key) for key in keys) for mark in family.marks
        ):
            return family
    return None


def expect(keys: Iterable[str], *wanted: str, where: str) -> Family:
    """Check that a state dict is of a family.

    Args:
        keys (Iterable[str]): Its keys.
        *wanted (str): Names of the families that will do.
        where (str): The file, for the message.

    Returns:
        Family: The family.

    Raises:
        ValueError: If it is another one, which the message names.
    """
    keys = list(keys)
    found = identify(keys)
    if found and found.name in wanted:
        return found
    what = found.name if found else f'of no known family (keys: {keys[:3]})'
    help_ = f' {found.reader} take(s) it.' if found and found.reader else ''
    raise ValueError(
        f'"{where}" should be a checkpoint of {" or ".join(wanted)}, but it '
        f'is {what}.{help_}'
    )
