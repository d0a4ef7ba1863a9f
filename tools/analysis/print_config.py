#!/usr/bin/env python
"""Print a config as it is after composition and overrides."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from mmtpr.engine import launch

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print the config."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE'
    )
    args = parser.parse_args()
    with launch.short_errors():
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    print(cfg.pretty_text)


if __name__ == '__main__':
    main()
