"""Completeness of a model's weights, told from their names alone."""

import re
from collections.abc import Iterable
from typing import Any

#: Those of an adapter's tensors that are one number.
ADAPTER_NUMBERS = ('alpha', 'beta')
#: Those that say an option of the adapter, which a file must share.
ADAPTER_OPTIONS = {'neumann_terms': 'neumann_terms', 'norm_rows': 'norm_dim'}
#: Those that files of former versions have not.
_ADAPTER_NEW = ('norm_rows',)
#: Each adapter has one of these.
ADAPTER_MARKS = ('lora_A', 'oft_R')
#: Names of an adapter's tensors within its layer.
ADAPTER_LEAVES = (
    *('lora_A', 'lora_B', 'magnitude', *ADAPTER_NUMBERS),
    *('pissa_A', 'pissa_B', 'oft_R', *ADAPTER_OPTIONS),
)
_ADAPTER = re.compile(rf'(.+)\.({"|".join(ADAPTER_LEAVES)})')
_PAIR = ('weight', 'bias')
_WRAPPED = re.compile(r'^(encoder\.)module\.')
_BLOCK = re.compile(r'(?P<stack>.+\.(?:blocks|resblocks|layer))\.(?P<i>\d+)\.')
#: What only some blocks of a stack have.
_SOME = re.compile(r'crossattention\.|(intermediate|output)_query\.')


def _pairs(*names: str) -> list[str]:
    return [f'{name}.{leaf}' for name in names for leaf in _PAIR]


_CLIP = [
    *('positional_embedding', 'text_projection', 'token_embedding.weight'),
    *('visual.conv1.weight', *_pairs('ln_final')),
]
_VIT = [
    *('visual.class_embedding', 'visual.positional_embedding'),
    *('visual.proj', *_pairs('visual.ln_pre', 'visual.ln_post')),
]
_RESNET = [
    f'visual.attnpool.{name}'
    for name in (
        'positional_embedding',
        *_pairs('q_proj', 'k_proj', 'v_proj', 'c_proj'),
    )
]
_SWIN = _pairs('patch_embed.projection', 'patch_embed.norm')
_SELECTION = re.compile(r'(necks\.\w+)\.(image|text)\.hidden\.')
_SIDES = ('image', 'text')
_TOKENS = _pairs('shortcut', 'hidden', 'norm', 'output')
_EMBEDDINGS = 'bert.bert.embeddings.'
_HEAD = 'bert.cls.predictions.'
_CROSS_MODAL = [
    'temperature',
    *_pairs('image_projection', 'text_projection'),
    *_pairs('itm_head.0', 'itm_head.1', 'itm_head.3'),
    *(f'{_EMBEDDINGS}{n}_embeddings.weight' for n in ('word', 'position')),
    f'{_EMBEDDINGS}token_type_embeddings.weight',
    *_pairs(f'{_EMBEDDINGS}LayerNorm'),
    f'{_HEAD}bias',
    *_pairs(*(f'{_HEAD}{n}' for n in ('transform.dense', 'decoder'))),
    *_pairs(f'{_HEAD}transform.LayerNorm'),
]


def as_number(given: Any, own: Any) -> Any:
    """Give a number the shape it has in a model.

    Alpha and beta had no dimension in files of former versions; those that
    train have one now.

    Args:
        given (Tensor): The number in a file.
        own (Tensor): The number in the model.

    Returns:
        Tensor: ``given``, as (1,) or () if the model has the other of the two.
    """
    shapes = {tuple(getattr(t, 'shape', (0,))) for t in (given, own)}
    return given.reshape(own.shape) if shapes == {(), (1,)} else given


def fits_shape(key: str, given: Any, own: Any) -> bool:
    """Tell whether a tensor of a file fits that of a model.

    Args:
        key (str): Its key in the model.
        given (Tensor): That of the file.
        own (Tensor): That of the model.

    Returns:
        bool: True for the same shape, and for an adapter's number in a file
        of a former version, see :func:`as_number`.
    """
    if key.rpartition('.')[2] in (*ADAPTER_NUMBERS, *ADAPTER_OPTIONS):
        given = as_number(given, own)
    return getattr(given, 'shape', None) == own.shape


def may_lack(key: str) -> bool:
    """Tell a tensor that files of former versions have not.

    Args:
        key (str): Its name as in mmtpr.

    Returns:
        bool: True if the model has its value by itself.
    """
    return key.rpartition('.')[2] in _ADAPTER_NEW


def is_adapter(key: str) -> bool:
    """Tell a tensor of an adapter by its name.

    Args:
        key (str): Its name as in mmtpr.

    Returns:
        bool: True if it is.
    """
    return _ADAPTER.fullmatch(key) is not None


def check_whole(keys: Iterable[str], where: str) -> None:
    """Check that no weight is missing, as far as names tell.

    Known are CLIP, RDE's necks, Swin, and Swin with BERT: what stands once in
    each must be there, and the blocks of a stack must have the same weights
    each. Adapters are left aside.

    Args:
        keys (Iterable[str]): Names as in mmtpr.
        where (str): Where the weights are from, for the message.

    Raises:
        ValueError: If something is missing.
    """
    plain = map(_plain, keys)
    names = {name for name in plain if name is not None}
    missing = sorted({*_singles(names), *_gaps(names)} - names)
    if missing:
        raise ValueError(
            f'"{where}" is not whole: {len(missing)} weights are missing '
            f'(by the names of mmtpr, e.g. {", ".join(missing[:3])}).'
        )


def _plain(key: str) -> str | None:
    """The name without adapters; None for a tensor of an adapter."""
    key = _WRAPPED.sub(r'\1', key)
    if is_adapter(key):
        return None
    return key.replace('.linear.', '.')


def _singles(names: set[str]) -> list[str]:
    """List what stands once in the models these names are of."""
    wanted = []
    if any(name.startswith('encoder.clip.') for name in names):
        vit = any('visual.transformer.' in name for name in names)
        tower = _VIT if vit else _RESNET
        wanted += [f'encoder.clip.{name}' for name in (*_CLIP, *tower)]
    for neck in {m[1] for name in names if (m := _SELECTION.match(name))}:
        wanted += [f'{neck}.{side}.{n}' for side in _SIDES for n in _TOKENS]
    for prefix in ('', 'encoder.vision.'):
        if any(name.startswith(f'{prefix}stages.') for name in names):
            wanted += [prefix + name for name in _swin(names, prefix)]
    if any(name.startswith('encoder.bert.') for name in names):
        wanted += [f'encoder.{name}' for name in _CROSS_MODAL]
        wanted += [
            'encoder.' + name for name in ('vision.' + n for n in _SWIN)
        ]
    return wanted


def _swin(names: set[str], prefix: str) -> list[str]:
    start = f'{prefix}stages.'
    last = max(
        int(name.removeprefix(start).split('.')[0])
        for name in names
        if name.startswith(start)
    )
    merges = (f'stages.{i}.downsample' for i in range(last))
    merging = [
        f'{merge}.{leaf}'
        for merge in merges
        for leaf in ('reduction.weight', *_pairs('norm'))
    ]
    return [*_SWIN, *merging, *_pairs(f'norm{last}')]


def _gaps(names: set[str]) -> list[str]:
    """List what a block lacks to be as the others of its stack."""
    stacks: dict[str, dict[int, set[str]]] = {}
    for name in names:
        match = _BLOCK.match(name)
        if match and not _SOME.match(name, match.end()):
            blocks = stacks.setdefault(match['stack'], {})
            blocks.setdefault(int(match['i']), set()).add(name[match.end() :])
    return [
        f'{stack}.{i}.{leaf}'
        for stack, blocks in stacks.items()
        for leaf in set().union(*blocks.values())
        for i in range(max(blocks) + 1)
    ]
