#!/usr/bin/env python
"""Search the images of the demo with two sentences.

Takes the model and the test images that tools/demo.py left, keeps their
embeddings in a store, prints what is found and writes it as a page:

    python tools/demo_search.py

Both commands are printed, to be repeated with own images and sentences.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from demo_steps import ROOT, best_checkpoint

from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError

CONFIG = 'configs/wora_toy.py'
IMAGES = Path('data/toy/target/imgs/test')
OUT = Path('work_dirs/demo')
SENTENCES = (
    'A woman with long hair wearing a red top, a blue skirt and white shoes.',
    'A man with short black hair in a green jacket, black trousers and a hat.',
)


def find_checkpoint() -> str:
    """Find the model of the demo.

    Returns:
        str: Path of its checkpoint.

    Raises:
        LaunchError: If the demo has not run to its end.
    """
    try:
        checkpoint = best_checkpoint(Path('work_dirs/wora_toy'))
    except FileNotFoundError:
        checkpoint = ''
    if not checkpoint or not IMAGES.is_dir():
        raise LaunchError(
            'There is no model and no image of the demo yet: run "make demo" '
            'first, which takes some minutes.'
        )
    return checkpoint


def commands(checkpoint: str) -> list[str]:
    """Make the commands.

    Args:
        checkpoint (str): The model.

    Returns:
        list[str]: Script and arguments for the interpreter.
    """
    from mmtpr.gallery.manifest import NAME, file_checksum

    # Each model has its own: the demo may have run again.
    store = OUT / f'gallery_{file_checksum(Path(checkpoint))[:8]}'
    verb = 'update' if (store / NAME).exists() else 'build'
    return [
        f'tools/gallery.py {verb} {store} {IMAGES} {CONFIG} {checkpoint} '
        '--num-workers 0',
        f'tools/search.py {CONFIG} {checkpoint} {store} '
        f'--queries {OUT / "queries.txt"} -k 5 '
        f'--out {OUT / "search.html"} --overwrite',
    ]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.parse_args()


def main() -> None:
    """Run the commands from the root of the project."""
    parse_args()
    os.chdir(ROOT)
    try:
        lines = commands(find_checkpoint())
    except LaunchError as error:
        sys.exit(f'error: {error}')
    with atomic_write(OUT / 'queries.txt', 'w') as file:
        file.write('\n'.join(SENTENCES) + '\n')
    for line in lines:
        print(f'\n$ python {line}', flush=True)
        done = subprocess.run([sys.executable, *shlex.split(line)])
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == '__main__':
    main()
