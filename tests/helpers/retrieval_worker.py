"""What scripts that test retrieval as one of N processes share."""

import json
import sys
from pathlib import Path

import torch


def queries_and_gallery(ids: int, queries: int, gallery: int) -> list[dict]:
    """A data list: queries, then gallery items, of the same persons."""
    return [
        *(
            dict(role='query', pid=i % ids, caption=f'caption {i}')
            for i in range(queries)
        ),
        *(
            dict(role='gallery', pid=i % ids, img_path=f'{i}.jpg')
            for i in range(gallery)
        ),
    ]


def main(test) -> None:
    """Run ``test(folder)`` as RANK of WORLD_SIZE, the command line's.

    The third word of the command line is the folder, where rank 0 writes the
    metrics as ``numbers.json``.
    """
    rank, world_size, folder = sys.argv[1:]
    torch.set_num_threads(1)
    if world_size != '1':
        torch.distributed.init_process_group(
            'gloo',
            init_method=f'file://{folder}/rendezvous',
            rank=int(rank),
            world_size=int(world_size),
        )
    metrics = test(Path(folder))
    if rank == '0':
        Path(folder, 'numbers.json').write_text(json.dumps(metrics))
    if torch.distributed.is_initialized():
        # Gloo's threads must be joined: one that still runs while the
        # interpreter ends aborts the process, on some machines at times.
        torch.distributed.destroy_process_group()
