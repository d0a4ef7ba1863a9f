"""Command line and checks of all tools that convert checkpoints."""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmtpr.checkpoints.completeness import check_whole
from mmtpr.checkpoints.fit import Fit
from mmtpr.checkpoints.spared_files import build_on_meta, without_weights
from mmtpr.utils import atomic_write
from mmtpr.utils.config_file import read_config
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import check_output


@dataclass
class Conversion:
    """A finished conversion.

    Attributes:
        content (dict): What is written.
        ours (dict[str, Tensor]): The weights by mmtpr's names, whichever the
            direction, for a check against a config.
        summary (str): What was converted, one line.
        ignored (dict[str, str]): Key -> why it is left out.
    """

    content: dict[str, Any]
    ours: Mapping[str, Tensor]
    summary: str
    ignored: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_ours(
        cls, state: dict[str, Tensor], summary: str, ignored: dict[str, str]
    ) -> 'Conversion':
        """A conversion into mmtpr's layout.

        Args:
            state (dict[str, Tensor]): The weights.
            summary (str): What was converted.
            ignored (dict[str, str]): Key -> why it is left out; noted in the
                file as well.

        Returns:
            Conversion: The conversion.
        """
        content = dict(state_dict=state, meta=dict(ignored=ignored))
        return cls(content, state, summary, ignored)


def run_conversion(
    args: argparse.Namespace,
    convert: Callable[[argparse.Namespace], Conversion],
) -> list[str]:
    """Convert, check and write.

    Args:
        args (Namespace): Of :func:`conversion_parser`.
        convert (Callable): Does the conversion.

    Returns:
        list[str]: Lines for the user: what was written and left out.

    Raises:
        LaunchError: If OUT exists, the source is another checkpoint, a key
            is unknown, the weights do not fit the config, or, without one,
            are not whole.
    """
    check_output(args.out, args.overwrite, [args.source, args.config])
    # With --ignore a part of a model may be what is wanted.
    try:
        done = convert(args)
        if args.config:
            own = meta_model(args.config, args.cfg_options).state_dict()
            Fit.of(done.ours, own).raise_for(args.source)
        elif not args.ignore:
            check_whole(done.ours, args.source)
    except (ValueError, FileNotFoundError) as error:
        raise LaunchError(str(error)) from error
    with atomic_write(args.out) as file:
        torch.save(done.content, file)
    return [f'{args.out}: {done.summary}.', *report(done.ignored)]


def report(ignored: Mapping[str, str]) -> list[str]:
    """One line a reason for leaving keys out.

    Args:
        ignored (Mapping[str, str]): Key -> reason.

    Returns:
        list[str]: The lines.
    """
    first: dict[str, str] = {}
    for key, reason in ignored.items():
        first.setdefault(reason, key)
    return [
        f'Left out {count}, e.g. {first[reason]}: {reason}.'
        for reason, count in Counter(ignored.values()).items()
    ]


def meta_model(config: str, options: dict | None = None) -> nn.Module:
    """Build the model of a config without reading weights.

    It lies on the meta device and takes no memory, unless a part of it
    computes with tensors while it is built.

    Args:
        config (str): Path of the config.
        options (dict, optional): Overrides of single keys.

    Returns:
        nn.Module: The model.

    Raises:
        LaunchError: If there is no such config.
    """
    cfg = read_config(config, options)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    return build_on_meta(without_weights(cfg.model.to_dict()))
