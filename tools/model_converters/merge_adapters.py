#!/usr/bin/env python
"""Merge the adapters of a checkpoint and write an ordinary one.

The result has the keys of the model without adapters: a config without
``WoRAModel``/``AdapterModel`` loads it, at no extra cost in inference.

    python tools/model_converters/merge_adapters.py CONFIG CHECKPOINT OUT

CHECKPOINT is a full checkpoint, or one with adapters only when the config
brings the pretrained weights.
"""

import argparse
import copy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmtpr').is_dir():  # a source tree, installed or not
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from mmengine.config import Config, DictAction  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from mmtpr.models.adapters import merge_adapters, named_adapters  # noqa: E402
from mmtpr.registry import MODELS  # noqa: E402
from mmtpr.utils import atomic_write, load_weights  # noqa: E402


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        epilog='A config without adapters loads the result.',
    )
    parser.add_argument('config', help='path of the config with adapters')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument('out', help='path of the merged checkpoint')
    parser.add_argument(
        '--ema',
        action='store_true',
        help='take the averaged weights of an EMAHook',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-5,
        help='greatest difference between outputs before and after, '
        'relative to the largest output (default: %(default)s)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'model.encoder.module.pretrained=None',
    )
    return parser.parse_args()


def read_state(path: str, ema: bool) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, without wrappers' prefixes."""
    file = load_weights(path)
    if ema:
        if 'ema_state_dict' not in file:
            raise ValueError(f'"{path}" has no averaged weights (--ema).')
        state = file['ema_state_dict']
        return {
            key.removeprefix('module.'): value
            for key, value in state.items()
            if key != 'steps'
        }
    return file.get('state_dict', file)


def load(model: nn.Module, state: dict[str, torch.Tensor], path: str) -> None:
    """Load a full or an adapter-only checkpoint; adapters must fit."""
    result = model.load_state_dict(state, strict=False)
    if result.unexpected_keys:
        raise ValueError(
            f'"{path}" holds keys this model has no place for: '
            f'{", ".join(result.unexpected_keys[:8])}. Is it of this config?'
        )
    if result.missing_keys:
        print(
            f'{len(result.missing_keys)} keys are not in the checkpoint and '
            'keep the weights the config brings, among them '
            f'{result.missing_keys[0]}.'
        )


@torch.no_grad()
def check(adapted: nn.Module, merged: nn.Module, tolerance: float) -> float:
    """Compare every adapted layer with its merged weight on random input."""
    worst = 0.0
    before = dict(named_adapters(adapted.eval()))
    for name, layer in named_adapters(merged):
        dtype = layer.linear.weight.dtype
        x = torch.randn(16, layer.in_features).to(dtype)
        expected = before[name](x)
        found = F.linear(x, layer.linear.weight, layer.bias)
        gap = (found - expected).abs().max() / expected.abs().max().clamp(
            min=1e-6
        )
        if not gap <= tolerance:
            raise ValueError(
                f'{name}: merged and unmerged outputs differ by {gap:.2g} of '
                f'the largest output (allowed: {tolerance:g}). Nothing was '
                'written; see --tolerance.'
            )
        worst = max(worst, gap.item())
    return worst


def main() -> None:
    """Merge and write."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    state = read_state(args.checkpoint, args.ema)
    model = MODELS.build(cfg.model)
    if hasattr(model, 'init_weights'):
        model.init_weights()
    load(model, state, args.checkpoint)
    adapted = copy.deepcopy(model)
    merged = merge_adapters(model)
    count = len(list(named_adapters(merged)))
    worst = check(adapted, merged, args.tolerance)
    plain = merge_adapters(merged, remove=True)
    file = dict(
        meta=dict(merged_adapters=count), state_dict=plain.state_dict()
    )
    with atomic_write(args.out) as handle:
        torch.save(file, handle)
    print(
        f'Merged {count} layers into "{args.out}"; outputs differ by at most '
        f'{worst:.1e} of the largest output.'
    )


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        sys.exit(f'merge_adapters: {error}')
