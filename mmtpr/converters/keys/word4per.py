"""Names of Word4Per's second stage: a frozen encoder and TINets."""

import re
from collections.abc import Mapping

from torch import Tensor

from ..keymap import Converted, KeyMap, same_names
from .irra import irra_map, with_scale

_OURS = re.compile(r'query\.tinets\.(\d+)\..+')
#: Entry of the release's files that holds the TINet.
ENTRY = 'img2text'


def tinet_map(number: int = 0) -> KeyMap:
    """Key map of a TINet to one of a ``mmtpr.ComposedPersonRetriever``.

    Args:
        number (int): Which of the retriever's TINets. Defaults to 0.

    Returns:
        KeyMap: Word4Per's ``img2text`` -> mmtpr.
    """
    rules = same_names(
        'fc_out.{p}',
        'layers.{i}.{j}.{p}',
        target=f'query.tinets.{number}.',
    )
    return KeyMap("Word4Per's TINet", 'mmtpr', rules)


def import_stage2(
    model: Mapping[str, Tensor],
    tinet: Mapping[str, Tensor],
    ignore: str | None = None,
) -> Converted:
    """Convert a checkpoint of Word4Per's second stage.

    Args:
        model (Mapping[str, Tensor]): Entry ``model``; empty for a TINet
            alone.
        tinet (Mapping[str, Tensor]): Entry ``img2text``.
        ignore (str, optional): Further keys to leave out.

    Returns:
        Converted: Weights of a ``mmtpr.ComposedPersonRetriever``.

    Raises:
        ValueError: If a key is unknown.
    """
    result = tinet_map()(tinet, ignore)
    if model:
        encoder = with_scale(irra_map(losses=None)(model, ignore))
        result.state = {**encoder.state, **result.state}
        result.ignored |= encoder.ignored
    return result


def export_stage2(
    state: Mapping[str, Tensor],
    number: int = 0,
    ignore: str | None = None,
) -> tuple[Converted, Converted]:
    """Convert a composed retriever to the layout of Word4Per's release.

    Args:
        state (Mapping[str, Tensor]): State dict of a
            ``mmtpr.ComposedPersonRetriever``.
        number (int): Which TINet; a file of the release holds one. Defaults
            to 0.
        ignore (str, optional): Further keys to leave out.

    Returns:
        tuple[Converted, Converted]: Entries ``model`` and ``img2text``.

    Raises:
        ValueError: If there is no such TINet or a key is unknown.
    """
    tinets: dict[int, dict[str, Tensor]] = {}
    others: dict[str, Tensor] = {}
    for key, value in state.items():
        match = _OURS.fullmatch(key)
        where = tinets.setdefault(int(match[1]), {}) if match else others
        where[key] = value
    if number not in tinets:
        raise ValueError(
            f'There is no TINet {number}; the checkpoint has '
            f'{sorted(tinets) or "none"}.'
        )
    tinet = tinet_map(number).inverse()(tinets.pop(number), ignore)
    for other in tinets.values():
        reason = f'another TINet; this file gets number {number}'
        tinet.ignored |= dict.fromkeys(other, reason)
    return irra_map(losses=None).inverse()(others, ignore), tinet
