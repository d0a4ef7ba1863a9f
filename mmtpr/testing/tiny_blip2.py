"""A small BLIP-2 and a small vocabulary of BERT."""

from os import PathLike
from pathlib import Path
from typing import Any

_WORDS = (
    *('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'),
    *('a', 'the', 'man', 'woman', 'person', 'wearing', 'with', 'and', 'in'),
    *('red', 'blue', 'green', 'black', 'white', 'shirt', 'trousers'),
    *('skirt', 'bag', 'hat', 'shoes', '##s', '##ed', ',', '-', '.'),
)


def tiny_blip2_cfg(**kwargs) -> dict[str, Any]:
    """Config of a :class:`BLIP2Encoder` that runs in milliseconds.

    Args:
        **kwargs: Further arguments of the encoder; they win.

    Returns:
        dict: Config for ``MODELS.build``: images of 28 x 28, 8 tokens of
        width 32, 64 words.
    """
    vision = dict(
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=28,
    )
    qformer = dict(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        vocab_size=64,
    )
    model = dict(
        vision_config=vision,
        qformer_config=qformer,
        num_query_tokens=8,
        image_text_hidden_size=32,
    )
    return dict(type='mmtpr.BLIP2Encoder', model=model) | kwargs


def shrink_blip2(node: dict, folder: str, size: tuple[int, int]) -> None:
    """Make a :class:`BLIP2Encoder` or a :class:`TokenizeBert` tiny.

    Args:
        node (dict): The config, changed in place.
        folder (str): Existing folder, where the vocabulary is written.
        size (tuple[int, int]): Height and width of the images, multiples
            of 16.
    """
    if 'TokenizeBert' in str(node['type']):
        node.update(vocab=write_tiny_vocab(Path(folder) / 'tiny_vocab.txt'))
        return
    model = tiny_blip2_cfg()['model']
    model['vision_config'].update(image_size=32, patch_size=16)
    node.update(
        model=model, pretrained=None, image_size=size, vision_dtype='float32'
    )


def write_tiny_vocab(path: str | PathLike) -> str:
    """Write a vocabulary of BERT with a few words on clothes.

    Args:
        path (str | PathLike): The file to write.

    Returns:
        str: Its path.
    """
    Path(path).write_text('\n'.join(_WORDS) + '\n', encoding='utf-8')
    return str(path)
