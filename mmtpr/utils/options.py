"""Options that tools share, and the check of the files that they write.

Nothing here needs torch: a tool reads its command line first, and imports
what does the work, which takes seconds, after it.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .atomic import check_writable
from .config_options import ConfigOptions
from .errors import LaunchError

#: Stands for the checkpoint where a folder holds the whole model.
WHOLE_MODEL = '-'


def at_least(least: int) -> Callable[[str], int]:
    """Make a type of options: whole numbers from some on.

    Args:
        least (int): The first that is allowed.

    Returns:
        Callable[[str], int]: For ``add_argument(type=...)``.
    """

    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f'{number} is less than {least}')
        return number

    return whole_number


def add_config_options(
    parser: argparse.ArgumentParser,
    name: str = '--cfg-options',
    what: str = 'the config',
    example: str = '',
) -> None:
    """Add the option to override settings of a config.

    Args:
        parser (ArgumentParser): Changed in place.
        name (str): Name of the option. Defaults to ``'--cfg-options'``.
        what (str): Whose settings. Defaults to ``'the config'``.
        example (str): What one may look like. Defaults to ''.
    """
    parser.add_argument(
        name,
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help=f'override settings of {what}'
        + (f', e.g. {example}' if example else ''),
    )
    if name == '--cfg-options':
        add_debug(parser)


def add_retriever(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a model which is used, not trained.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        'config', help='config of the model, or a folder it was saved to'
    )
    parser.add_argument(
        'checkpoint', help=f'weights of the model; {WHOLE_MODEL} with a folder'
    )


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add the option to see where an error comes from.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show the traceback of every error',
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the option to replace what is there.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the output if it exists',
    )


def add_allow_partial(parser: argparse.ArgumentParser) -> None:
    """Add the option to go on without weights that were trained.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='go on with a checkpoint that lacks weights that were trained '
        'with it, such as adapters without the norms beside them',
    )


def add_pair_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which pairs of a config are meant.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--dataset',
        default='train_dataloader.dataset',
        metavar='KEY',
        help='place of the dataset in the config; default: '
        'train_dataloader.dataset',
    )
    parser.add_argument(
        '--image-key', help='key of the image path in an entry'
    )
    parser.add_argument('--caption-key', help='key of the caption in an entry')


def add_embedding_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a tool that embeds the pairs of a dataset.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument(
        '--pipeline',
        metavar='KEY',
        help='place of the transforms; default: those of the test data',
    )
    add_reading_options(parser)
    parser.add_argument('--amp', action='store_true', help='embed in bfloat16')


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how images are read.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument('--batch-size', type=at_least(1), default=64)
    parser.add_argument(
        '--num-workers',
        type=at_least(0),
        default=2,
        help='image readers a process',
    )


def add_launcher(
    parser: argparse.ArgumentParser, more: Iterable[str] = ()
) -> None:
    """Add the option that tells what starts the processes.

    Args:
        parser (ArgumentParser): Changed in place.
        more (Iterable[str]): Further launchers than those of mmengine.
    """
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi', *more],
        default='none',
        help='what starts the processes; dist_*.sh and slurm_*.sh set it',
    )
    # torchrun and torch.distributed.launch spell it differently.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that all tools with a runner share.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument('--work-dir', help='folder for logs and results')
    add_config_options(
        parser, example='train_dataloader.batch_size=32 or key="[a,b]"'
    )
    add_launcher(parser)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what a tool needs to know of a model with adapters.

    Args:
        parser (ArgumentParser): Changed in place.
    """
    parser.add_argument('config', help='path of the config with adapters')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--load-from',
        metavar='FILE',
        help='full checkpoint of this model with the weights below adapters, '
        'for a CHECKPOINT without them (default: load_from of the config)',
    )
    add_allow_partial(parser)
    parser.add_argument(
        '--ema',
        action='store_true',
        help='take the averaged weights of an EMAHook',
    )
    add_config_options(parser, example='model.encoder.module.pretrained=None')


def conversion_parser(
    doc: str, source: str, both_ways: bool = True
) -> argparse.ArgumentParser:
    """Parser with the options of all converters.

    Args:
        doc (str): Docstring of the tool.
        source (str): What the tool reads.
        both_ways (bool): Whether it can write the release's layout too.

    Returns:
        ArgumentParser: The parser.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    back = ', with --export one of mmtpr' if both_ways else ''
    parser.add_argument('source', help=f'{source}{back}')
    parser.add_argument('out', help='file to write (.pth)')
    if both_ways:
        parser.add_argument(
            '--export',
            action='store_true',
            help="the other direction: OUT gets the release's layout",
        )
    parser.add_argument(
        '--ignore',
        metavar='REGEX',
        help='whole names of further keys to leave out',
    )
    add_overwrite(parser)
    parser.add_argument(
        '--config',
        help='config of mmtpr; its model must have the same names and shapes',
    )
    add_config_options(parser)
    return parser


def engine_parser(doc: str) -> argparse.ArgumentParser:
    """Parser with the options of all stages of the data engine.

    Args:
        doc (str): Docstring of the tool.

    Returns:
        ArgumentParser: The parser.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the data engine')
    parser.add_argument('run', help='folder of the run')
    add_config_options(parser, example='write.num=1000')
    add_launcher(parser, ['ray'])
    parser.add_argument(
        '--ray-workers',
        type=at_least(1),
        default=1,
        help='with --launcher ray: processes that hold the stage; default 1',
    )
    parser.add_argument(
        '--ray-gpus',
        type=float,
        default=0,
        help='with --launcher ray: GPUs of each of them; default 0',
    )
    return parser


def add_figure_options(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the options of a tool that draws curves of runs.

    Args:
        parser (ArgumentParser): Changed in place.
        out (str): Default of ``--out``.
    """
    parser.add_argument(
        '--labels', nargs='+', help='names of the runs, in their order'
    )
    parser.add_argument(
        '--out', default=out, help='.png or .pdf to write (%(default)s)'
    )
    add_overwrite(parser)
    add_debug(parser)


def check_output(
    path: str | os.PathLike,
    overwrite: bool,
    sources: Iterable[str | os.PathLike | None] = (),
) -> None:
    """Check that a file may be written, before the work is done.

    Args:
        path (str | PathLike): The file.
        overwrite (bool): Whether an existing one may be replaced.
        sources (Iterable[str | PathLike | None]): Files that the tool reads,
            which are never replaced.

    Raises:
        LaunchError: If it exists and may not be replaced, is read as well, is
            a folder, or cannot be written.
    """
    path = Path(path)
    check_writable(path)
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise LaunchError(f'"{path}" is a folder; name a file to write.')
    for source in sources:
        if source and os.path.exists(source) and path.samefile(source):
            raise LaunchError(
                f'"{path}" is read and would be written over; name another '
                'file to write.'
            )
    if not overwrite:
        raise LaunchError(f'"{path}" exists already; --overwrite replaces it.')


def check_output_folder(path: str | os.PathLike) -> None:
    """Check that a folder may be made, before the work is done.

    Args:
        path (str | PathLike): The folder.

    Raises:
        LaunchError: If there is something, but for an empty folder.
    """
    path = Path(path)
    empty = path.is_dir() and not any(path.iterdir())
    if os.path.lexists(path) and not empty:
        raise LaunchError(
            f'"{path}" exists and is not empty. It is left as it is; name '
            'another folder.'
        )
