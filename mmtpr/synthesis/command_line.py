"""The command line of tools that write synthetic data."""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

from mmengine.logging import print_log

from mmtpr.utils.options import at_least


def write_from_command_line(
    write: Callable[..., bool],
    settings: Any,
    out: str,
    helps: dict[str, str],
    description: str,
) -> None:
    """Write data with the settings of the command line.

    Args:
        write (Callable): Takes folder, settings and number of processes;
            returns whether anything was written.
        settings (Any): A dataclass with the defaults; ``size`` is height and
            width of images.
        out (str): Default of the folder.
        helps (dict[str, str]): Name of a setting -> what it is, for all but
            ``size``, in the order of the options.
        description (str): What the tool does.
    """
    args = vars(_parser(settings, out, helps, description).parse_args())
    out, processes = args.pop('out'), args.pop('processes')
    settings = type(settings)(**dict(args, size=tuple(args['size'])))
    start = time.time()
    if write(out, settings, processes):
        print_log(f'Wrote {out} in {time.time() - start:.1f} s.')
    else:
        print_log(f'{out} is there with the same settings; nothing written.')


def _parser(settings, out, helps, description) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--out', default=out, help='folder to make')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=settings.size,
        metavar=('HEIGHT', 'WIDTH'),
        help='pixels of an image',
    )
    for name, text in helps.items():
        value = getattr(settings, name)
        option = f'--{name.replace("_", "-")}'
        whole = type(value) is int and name != 'seed'
        kind = at_least(0) if whole else type(value)
        parser.add_argument(option, type=kind, default=value, help=text)
    parser.add_argument(
        '--processes',
        type=at_least(1),
        default=os.cpu_count(),
        help='to draw with',
    )
    return parser
