#!/usr/bin/env python
"""Join the TINets of several checkpoints into one checkpoint.

    python tools/model_converters/fuse_tinets.py A.pth B.pth --out FUSED.pth

The checkpoints are of Word4Per's second stage over the same encoder. A config
with as many ``tinets``, in this order, loads the result.
"""

import argparse
import re
import sys

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import add_overwrite, check_output

TINET = re.compile(r'query\.tinets\.(\d+)\.(.+)')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('checkpoints', nargs='+', help='two files or more')
    parser.add_argument('--out', required=True, help='file to write')
    add_overwrite(parser)
    args = parser.parse_args()
    if len(args.checkpoints) < 2:
        parser.error('one checkpoint has nothing to be joined with: give two')
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

import torch

from mmtpr.checkpoints import read_checkpoint
from mmtpr.utils import atomic_write


def read_state(path: str) -> tuple[dict, list[dict]]:
    """The weights of a checkpoint: those of TINets, one by one, and others."""
    others, tinets = {}, {}
    for key, value in read_checkpoint(path).state.items():
        found = TINET.fullmatch(key)
        if found:
            number, name = int(found[1]), found[2]
            tinets.setdefault(number, {})[name] = value
        else:
            others[key] = value
    if not tinets:
        raise ValueError(
            f'"{path}" has no TINet (query.tinets.*): give checkpoints of '
            'a ComposedPersonRetriever.'
        )
    return others, [tinets[number] for number in sorted(tinets)]


def fuse(paths: list[str]) -> dict:
    """State dict with the TINets of all checkpoints.

    Args:
        paths (list[str]): The checkpoints.

    Returns:
        dict: Weights of the first one, TINets numbered through.

    Raises:
        ValueError: If the encoders differ.
    """
    state, number = {}, 0
    for path in paths:
        others, tinets = read_state(path)
        if not number:
            state.update(others)
        check_equal(state, others, paths[0], path)
        for tinet in tinets:
            for name, value in tinet.items():
                state[f'query.tinets.{number}.{name}'] = value
            number += 1
    return state


def check_equal(state: dict, others: dict, first: str, path: str) -> None:
    """Check that what is not TINet is the same in two checkpoints."""
    base = {key for key in state if not TINET.fullmatch(key)}
    different = sorted(base ^ set(others)) or [
        key for key in others if not torch.equal(state[key], others[key])
    ]
    if different:
        raise ValueError(
            f'"{first}" and "{path}" are not over the same encoder: '
            f'{len(different)} weights differ, first {different[0]}. '
            'Train the TINets on one stage-1 checkpoint.'
        )


def main() -> None:
    """Run the tool."""
    args = parse_args()
    try:
        check_output(args.out, args.overwrite, args.checkpoints)
        state = fuse(args.checkpoints)
    except (OSError, ValueError, LaunchError) as error:
        sys.exit(f'fuse_tinets: {error}')
    with atomic_write(args.out) as file:
        torch.save(dict(state_dict=state, meta={}), file)
    numbers = {TINET.fullmatch(k)[1] for k in state if TINET.fullmatch(k)}
    print(f'{args.out}: {len(numbers)} TINets')


if __name__ == '__main__':
    main()
