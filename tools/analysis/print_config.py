#!/usr/bin/env python
"""Print a config as it is after composition and overrides."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmtpr').is_dir():  # a source tree, installed or not
    sys.path.insert(0, str(ROOT))

from mmengine.config import DictAction  # noqa: E402

from mmtpr.engine import launch  # noqa: E402


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
