"""Facts that decide what a model computes and are not among its weights.

An activation, an image size, a number of text tokens: two models of the same
keys and shapes may differ in them and give other features. They travel in the
meta of a checkpoint, by the module they are of.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmtpr.utils.errors import LaunchError

#: Name of the facts in the meta of a checkpoint.
FACTS = 'function_facts'
#: Name of what a config tells of its tokenizer, among the facts.
TOKENS = 'tokenizer'
# A difference in one of these gives other features without a word.
_COMPARED = ('quick_gelu', 'context_length', 'patch_grid', 'ratio')
# One may be meant where training goes on; elsewhere it is a mistake.
_OF_INPUTS = ('mean', 'std', 'probe')


def function_facts(
    model: nn.Module, tokens: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Collect the facts of all modules that tell them.

    Args:
        model (nn.Module): The model, not wrapped.
        tokens (Mapping, optional): What a config tells of its tokenizer, see
            :func:`mmtpr.text.config_tokenizers.token_facts`.

    Returns:
        dict[str, dict]: By name of the module, adapters' ``module`` left out,
        what its ``function_facts()`` gives, and the tokenizer's: plain values.
    """
    facts = {
        plain_path(name): module.function_facts()
        for name, module in model.named_modules()
        if hasattr(type(module), 'function_facts')
    }
    return {**facts, TOKENS: dict(tokens)} if tokens else facts


def facts_of(meta: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Look up what one module told of itself.

    Args:
        meta (Mapping): Meta of a checkpoint; older ones have no facts.
        path (str): Name of the module.

    Returns:
        dict: Its facts, empty if there are none.
    """
    return dict((meta.get(FACTS) or {}).get(plain_path(path)) or {})


def plain_path(name: str) -> str:
    """Name of a module as it is without adapters around it.

    Args:
        name (str): Such as ``'encoder.module'``.

    Returns:
        str: Such as ``'encoder'``.
    """
    return '.'.join(part for part in name.split('.') if part != 'module')


def differing_facts(
    meta: Mapping[str, Any],
    model: nn.Module,
    source: str,
    tokens: Mapping[str, Any] | None = None,
    trains: bool = False,
) -> list[str]:
    """Stop where a checkpoint was made by another function.

    Args:
        meta (Mapping): Meta of the checkpoint; older ones have no facts.
        model (nn.Module): The model, not wrapped.
        source (str): The checkpoint, for the message.
        tokens (Mapping, optional): See :func:`function_facts`.
        trains (bool): Whether training goes on, where images and captions
            may be prepared in another way on purpose. Defaults to False.

    Returns:
        list[str]: Differences that do not stop.

    Raises:
        LaunchError: If an activation, a number of text tokens, a grid of
            patches, a share of selected tokens, a tokenizer or the statistics
            of images differ.
    """
    given = meta.get(FACTS) or {}
    own = function_facts(model, tokens)
    lines = []
    for path in sorted(given.keys() & own.keys()):
        for name in (*_COMPARED, *_OF_INPUTS):
            theirs, ours = given[path].get(name), own[path].get(name)
            if None in (theirs, ours) or _same(theirs, ours):
                continue
            line = (
                f'"{source}" was trained with {path} {name}={theirs}, but the '
                f'config gives {name}={ours}: the same weights '
                'would give other features.'
            )
            if not (trains and name in _OF_INPUTS):
                raise LaunchError(f'{line} {_cure(name, theirs)}')
            lines.append(line)
    return lines


def _same(theirs: Any, ours: Any) -> bool:
    """Equal, numbers up to the rounding of float32."""
    if isinstance(ours, list | tuple):
        return len(theirs) == len(ours) and all(map(_same, theirs, ours))
    if isinstance(ours, float):
        return abs(theirs - ours) <= 1e-5 * max(1.0, abs(ours))
    return theirs == ours


def _cure(name: str, theirs: Any) -> str:
    if name == 'probe':
        return (
            'These are the tokens of a sentence: set the tokenizer of '
            'mmtpr.TokenizeCaption that it was trained with.'
        )
    if name == 'patch_grid':
        return 'Set the image_size that it was trained with.'
    return f'Set {name}={theirs} there.'
