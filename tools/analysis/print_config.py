#!/usr/bin/env python
"""Print a config as it is after composition and overrides."""

import argparse
from pathlib import Path

from mmtpr.utils.options import add_config_options

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    add_config_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.engine import launch


def main() -> None:
    """Print the config."""
    args = parse_args()
    with launch.short_errors():
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    print(cfg.pretty_text)


if __name__ == '__main__':
    main()
