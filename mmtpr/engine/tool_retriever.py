"""The retriever that the command line of a tool names."""

from argparse import Namespace
from pathlib import Path

from mmengine.registry import init_default_scope

from mmtpr.apis import LoadedRetriever, load_retriever, read_source
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import WHOLE_MODEL

from .launch import load_config


def check_retriever(args: Namespace) -> None:
    """Check that there are weights, before anything is loaded.

    Args:
        args (Namespace): Of :func:`mmtpr.utils.options.add_retriever`.

    Raises:
        LaunchError: If not.
    """
    whole = args.checkpoint == WHOLE_MODEL and Path(args.config).is_dir()
    if not whole and not Path(args.checkpoint).is_file():
        raise LaunchError(f'No checkpoint "{args.checkpoint}".')


def load_tool_retriever(
    args: Namespace, device: str, root: Path
) -> LoadedRetriever:
    """Load a retriever.

    Args:
        args (Namespace): Of :func:`mmtpr.utils.options.add_retriever`, with
            ``cfg_options`` and ``allow_partial``.
        device (str): Where to put the model.
        root (Path): Folder for relative paths of configs.

    Returns:
        LoadedRetriever: The model with its data's transforms.
    """
    weights = None if args.checkpoint == WHOLE_MODEL else args.checkpoint
    if Path(args.config).is_dir():
        cfg = read_source(args.config, weights, args.cfg_options)
    else:
        cfg = load_config(args.config, args.cfg_options, root)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    return load_retriever(cfg, weights, device, args.allow_partial)
