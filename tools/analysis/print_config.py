#!/usr/bin/env python
"""Print a config as it is after composition and overrides."""

import argparse
from pathlib import Path

from mmtpr.engine import launch
from mmtpr.utils.options import add_config_options

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print the config."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    add_config_options(parser)
    args = parser.parse_args()
    with launch.short_errors():
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    print(cfg.pretty_text)


if __name__ == '__main__':
    main()
