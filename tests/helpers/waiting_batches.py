"""Holds loaded batches as a thread that pins memory does, and counts files.

Usage: python tests/helpers/waiting_batches.py COLLATE LIMIT

Limits the open files of the process. A thread takes all batches that the
workers have loaded ahead, copies them as pinning would, and keeps both until
the training asks for them. Prints the number of open files, or ends with the
error of the reader.
"""

import os
import queue
import resource
import sys
import threading

import torch
from mmengine.dataset import pseudo_collate

from mmtpr.structures import RetrievalDataSample, collate_samples

WORKERS, AHEAD, BATCH = 2, 2, 64


class Samples(torch.utils.data.Dataset):
    """Samples with the fields that ``wora_aptm_cuhk`` has."""

    def __len__(self):
        return WORKERS * AHEAD * BATCH

    def __getitem__(self, index):
        meta = dict(role='train', pid=index, image_id=index)
        sample = RetrievalDataSample(metainfo=meta)
        for name in ('tokens', 'mlm_tokens', 'mlm_labels', 'eda_tokens'):
            setattr(sample, name, torch.arange(8))
        image = torch.zeros(3, 8, 4, dtype=torch.uint8)
        return dict(inputs=dict(image=image), data_samples=sample)


def copied(value):
    """Copy every tensor, as pinning does."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value


def main(name, limit):
    """Load everything and count."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    collates = dict(stacked=collate_samples, single=pseudo_collate)
    loader = torch.utils.data.DataLoader(
        Samples(),
        BATCH,
        num_workers=WORKERS,
        prefetch_factor=AHEAD,
        collate_fn=collates[name],
    )
    taken, failed = queue.Queue(), []

    def take():
        try:
            for batch in loader:
                taken.put((batch, copied(batch)))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    if failed:
        sys.stderr.write(str(failed[0]))
        sys.stdout.flush()
        os._exit(1)
    assert taken.qsize() == len(loader)
    print(len(os.listdir('/proc/self/fd')))  # noqa: T201


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
