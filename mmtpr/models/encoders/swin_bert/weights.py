"""Weights of Swin, of BERT, and of both together."""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pickle import UnpicklingError

from mmengine.logging import print_log
from torch import Tensor, nn

from mmtpr.checkpoints import check_fit, expect, read_checkpoint
from mmtpr.converters import resize_windows, swin_map
from mmtpr.converters.keys.aptm import aptm_map
from mmtpr.utils import require

from .build import PURPOSE

_OURS = 'mmtpr cross-modal retrieval'
_SWIN = 'mmpretrain.SwinTransformer'
#: Layers that no published BERT has.
_NEW = re.compile(r'.*\.crossattention\..*')
#: Parts of published BERTs that are not used here.
_UNUSED = re.compile(r'(bert\.pooler|cls\.seq_relationship)\..*')


def load_swin(
    vision: nn.Module, path: str | PathLike, windows: Sequence[int]
) -> None:
    """Load a file of Microsoft's Swin or of mmpretrain.

    Relative positions are brought to the windows as APTM does it; the
    classifier is left out.

    Args:
        vision (nn.Module): ``mmpretrain.SwinTransformer``, filled in place.
        path (str | PathLike): The file.
        windows (Sequence[int]): Side of the window in each stage.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of another model or of another size.
    """
    state = read_checkpoint(path).state
    family = expect(state, 'Microsoft Swin', _SWIN, where=str(path))
    if family.name == _SWIN:
        state = {
            key.removeprefix('backbone.'): value
            for key, value in state.items()
            if not key.startswith('head.')
        }
    else:
        state = swin_map(state)(state).state
    _fill(vision, resize_windows(state, windows), str(path))


def load_bert(bert: nn.Module, name: str | PathLike) -> None:
    """Load BERT from the hub or a folder; cross-attention stays as it is.

    Args:
        bert (nn.Module): ``transformers.BertForMaskedLM``, filled in place.
        name (str | PathLike): Hub name, or a folder.

    Raises:
        ValueError: If the weights cannot be had, are not all there or are
            of another size.
    """
    print_log(
        f'Getting BERT "{name}" from the folder, the cache or the hub.',
        logger='current',
    )
    found = _read_bert(str(name))
    state = {
        key: value.float()
        for key, value in found.state_dict().items()
        if not _UNUSED.fullmatch(key)
    }
    own = bert.state_dict()
    kept = {key: own[key] for key in own if _NEW.fullmatch(key)}
    _fill(bert, {**state, **kept}, str(name))


def _read_bert(name: str) -> nn.Module:
    """``BertForMaskedLM`` with all its weights from a hub name or folder."""
    transformers = require('transformers', 'blip2', PURPOSE)
    from safetensors import SafetensorError

    try:
        found, info = transformers.BertForMaskedLM.from_pretrained(
            name, output_loading_info=True
        )
    except (
        *(EOFError, OSError, RuntimeError, UnpicklingError),
        SafetensorError,
    ) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(
            f'BERT "{name}" cannot be loaded ({reason[0]}). Two ways: run '
            'once with network access, so that transformers gets it from the '
            'hub; or set text_pretrained to a local folder with config.json '
            'and weights.'
        ) from error
    # transformers fills such gaps with random numbers.
    parts = [
        f'{len(keys)} {what} (e.g. {", ".join(keys[:3])})'
        for what in ('missing', 'mismatched')
        if (keys := sorted(map(str, info[f'{what}_keys'])))
    ]
    if parts:
        raise ValueError(
            f'BERT "{name}" is not complete: weights {"; ".join(parts)}. A '
            'BertForMaskedLM is needed, with the head that predicts words; '
            'get the files again, or another BERT.'
        )
    return found


def load_whole(
    encoder: nn.Module, path: str | PathLike, windows: Sequence[int]
) -> None:
    """Load a file of APTM's release or of an mmtpr retriever.

    Args:
        encoder (nn.Module): The encoder, filled in place.
        path (str | PathLike): The file.
        windows (Sequence[int]): Side of the window in each stage.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of another model or of another size, or
            holds adapters.
    """
    state = read_checkpoint(path).state
    family = expect(state, 'APTM or X-VLM', _OURS, where=str(path))
    if family.name == _OURS:
        state = {
            key.removeprefix('encoder.'): value
            for key, value in state.items()
            if key.startswith('encoder.')
        }
    else:
        state = aptm_map(state)(state).state
    _fill(encoder, resize_windows(state, windows), str(path))


def _fill(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    check_fit(state, module.state_dict(), where)
    module.load_state_dict(state)
