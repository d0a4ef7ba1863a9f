"""What grows with the data: mmtpr beside the plain way, at full size.

Prints a Markdown table. Each line is measured in a process of its own, once in
the plain way (the peer) and once in mmtpr's, one after the other; seconds are
the best of ``--rounds``, memory is what the process grows by: kept, or at the
peak. faiss joins where it is installed. Only ratios mean something on other
machines.

    python benchmarks/scale.py [--pairs 1510330] [--triplets 1150000]
        [--items 1000000] [--results 80000] [--only search results ...]
"""

import argparse
import gc
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import time
import timeit
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset

from mmtpr.checkpoints.files import load_weights
from mmtpr.datasets import MALS, SynCPR
from mmtpr.evaluation.packed_results import pack_results, unpack_results
from mmtpr.evaluation.ranking import counting
from mmtpr.evaluation.search import search
from mmtpr.models.embedder import EmbeddedRows
from mmtpr.structures import dataset_fingerprint, serialized_fingerprint

DIM = 512
SHARD = 38000
WORDS = ('woman', 'man', 'in', 'red', 'blue', 'long', 'coat', 'with', 'hair')
#: Keys of a sample by those of a record, where they differ.
KEYS = dict(
    image='img_path',
    target_image_path='img_path',
    reference_image_path='reference_path',
    image_id='pid',
    edit_caption='caption',
    label='attributes',
)


class Plain(BaseDataset):
    """A dataset as mmengine's guide writes it: a list of dicts."""

    def __init__(self, files, root, **kwargs):
        self.files, self.root = files, root
        super().__init__(**kwargs)

    def load_data_list(self):
        """Samples with joined paths."""
        samples = []
        for file in self.files:
            for record in json.loads(Path(file).read_text()):
                sample = {KEYS.get(k, k): v for k, v in record.items()}
                for key in ('img_path', 'reference_path'):
                    if key in sample:
                        sample[key] = os.path.join(self.root, sample[key])
                samples.append(sample)
        return samples


def sentence(draw, number):
    """So many words."""
    return ' '.join(draw.choices(WORDS, k=number))


def write_mals(root, pairs):
    """Shards in the layout of MALS, without images."""
    draw = random.Random(0)
    root.joinpath('gene_attrs').mkdir(parents=True)
    for part, start in enumerate(range(0, pairs, SHARD)):
        records = [
            dict(
                image=f'gene_crop/c_g_a_{part}/{i}.jpg',
                caption=sentence(draw, 27),
                image_id=f'c_g_a_{part}_{i}',
                label=draw.choices((-1, 0, 1), k=27),
            )
            for i in range(min(SHARD, pairs - start))
        ]
        file = root / f'gene_attrs/g_c_g_a_{part}_attrs.json'
        file.write_text(json.dumps(records))


def write_syn(root, triplets):
    """A file in the layout of SynCPR, without images."""
    draw = random.Random(0)
    root.mkdir()
    with open(root / 'SynCPR.json', 'w') as file:
        for i in range(triplets):
            record = dict(
                reference_image_path=f'images/{i // 9000}/{i}_r.png',
                target_image_path=f'images/{i // 9000}/{i}_t.png',
                reference_caption=sentence(draw, 20),
                target_caption=sentence(draw, 20),
                edit_caption=sentence(draw, 12),
                cpr_id=i // 8,
            )
            file.write(f'{", " if i else "["}{json.dumps(record)}')
        file.write(']')


def status(key):
    """A line of /proc/self/status in MiB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(key)) / 1024


def memory(function, *keys):
    """MiB kept and at the peak, and seconds, of one call."""
    gc.collect()
    Path('/proc/self/clear_refs').write_text('5')  # VmHWM = now
    before, total, start = status('RssAnon'), status('VmRSS'), time.time()
    result = function()
    found = dict(s=time.time() - start, peak=status('VmHWM') - total)
    gc.collect()
    found['kept'] = status('RssAnon') - before
    del result
    return {key: found[key] for key in keys}


def best(function, rounds):
    """Least seconds of some calls."""
    return min(timeit.repeat(function, number=1, repeat=rounds))


def load(args, who, kind):
    """Kept and peak MiB and seconds of loading a dataset."""
    keys = ('kept', 'peak', 's')
    if kind == 'mals':
        root = args.folder / 'mals'
        files, ours, options = sorted(root.glob('*/*.json')), MALS, {}
    else:
        root = args.folder / 'syn'
        files, ours, options = [root / 'SynCPR.json'], SynCPR, {}
        if kind == 'val':
            options = dict(split='val', val_ids=min(2000, args.triplets // 16))
    if who == 'peer':
        return memory(lambda: Plain(files, str(root)), *keys)
    return memory(lambda: ours(data_root=str(root), **options), *keys)


def fingerprint(args, who):
    """Seconds to tell whether scores belong to the data."""
    data = MALS(data_root=str(args.folder / 'mals'))
    tell = dataset_fingerprint if who == 'peer' else serialized_fingerprint
    return dict(s=best(lambda: tell(data), 1 if who == 'peer' else 3))


def results(args, who):
    """Seconds to send the results of a process and to read them."""
    made = [
        dict(role='gallery', id=i, features=torch.randn(DIM), sample_idx=i)
        for i in range(args.results)
    ]

    def send():
        if who == 'peer':
            return pickle.loads(pickle.dumps(made, 2))
        packed = pickle.dumps(pack_results(made[:]), pickle.HIGHEST_PROTOCOL)
        return unpack_results(pickle.loads(packed))

    return dict(s=best(send, 1))


def gallery(number):
    """Normalised features, (N, D)."""
    feats = torch.empty(number, DIM)
    for part in feats.split(1 << 15):
        F.normalize(part.normal_(), dim=1, out=part)
    return feats


def ranking(args, who, queries, items):
    """Seconds and peak MiB of the 10 best of so many items."""
    feats = gallery(items)
    query = F.normalize(torch.randn(queries, DIM), dim=1)
    equal = (torch.zeros(0, dtype=torch.long),) * 2  # none
    if who == 'faiss':
        import faiss

        faiss.omp_set_num_threads(args.threads)
        index = faiss.IndexFlatIP(DIM)
        index.add(feats.numpy())

    def find():
        if who == 'faiss':
            return index.search(query.numpy(), 10)
        if who == 'peer':
            return (query @ feats.t()).topk(10)
        return search(query, feats, 10, equal=equal, narrow=True)

    find()
    return dict(memory(find, 'peak'), s=best(find, args.rounds))


def index(args, who):
    """Kept MiB and seconds of opening a gallery index."""
    file = args.folder / 'index.pt'
    if not file.exists():
        torch.save(dict(features=gallery(args.items)), file)
    mapped = who == 'mmtpr'
    return memory(lambda: load_weights(file, mmap=mapped), 'kept', 's')


def embedding(args, who):
    """Peak MiB of gathering embeddings that come in batches of 64."""
    parts = [64] * (args.items // 64)

    def gather():
        if who == 'peer':
            return torch.cat([torch.ones(size, DIM) for size in parts])
        rows = EmbeddedRows(sum(parts))
        for number, size in enumerate(parts):
            place = range(64 * number, 64 * number + size)
            rows.put(place, torch.ones(size, DIM))
        return rows.first(sum(parts))

    return memory(gather, 'peak')


def positives(args, who, number, shift):
    """Seconds to rank so many positives of 26 queries among 20,000 items."""
    scores = torch.randn(26, 20000)
    own = (torch.randn(26, number) + shift).sort(1).values
    counting._FEW_POSITIVES = 0 if who == 'peer' else number
    count = counting._count_before
    return dict(s=best(lambda: count(scores, own, True), 9))


def lines(args):
    """What is measured: name, function, arguments, whether faiss joins."""
    yield 'MALS', load, ('mals',), False
    yield 'SynCPR', load, ('train',), False
    yield 'SynCPR, val of 2,000 ids', load, ('val',), False
    yield 'fingerprint', fingerprint, (), False
    yield 'results', results, (), False
    for items in (10_000, 100_000, 1_000_000):
        if items <= args.items:
            for queries in (1, 100):
                name = f'search, {queries} in {items:,}'
                yield name, ranking, (queries, items), True
    yield 'index opened', index, (), False
    yield 'embeddings gathered', embedding, (), False
    for number, name, shift in (
        (64, 'clear of', 3.0),
        (128, 'clear of', 3.0),
        (128, 'among', 0.0),
        (384, 'among', 0.0),
    ):
        told = f'{number} positives {name} the rest'
        yield told, positives, (number, shift), False


def child(args, name, who):
    """Measure one line in this process."""
    for told, function, values, _ in lines(args):
        if told == name:
            print(json.dumps(function(args, who, *values)))


def measure(args, name, who):
    """Start a process for a line; None if it cannot be measured."""
    command = [sys.executable, __file__, '--child', name, who]
    for key in ('pairs', 'triplets', 'items', 'results', 'rounds', 'threads'):
        command += [f'--{key}', str(getattr(args, key))]
    command += ['--folder', str(args.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        if who == 'faiss':
            return None  # not installed
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def run(args):
    """Print the table."""
    print(f'torch {torch.__version__}, {args.threads} threads, CPU\n')
    print('| what | of | peer | mmtpr | mmtpr / peer | faiss |')
    print('|---|---|---:|---:|---:|---:|')
    units = dict(kept='MiB kept', peak='MiB at the peak', s='s')
    for name, _, _, joins in lines(args):
        if args.only and not any(word in name for word in args.only):
            continue
        peer, ours = (measure(args, name, x) for x in ('peer', 'mmtpr'))
        faiss = (measure(args, name, 'faiss') if joins else None) or {}
        for key, unit in units.items():
            if key not in ours:
                continue
            digits, least = (4, 1e-9) if key == 's' else (0, 1)
            other = f'{faiss[key]:.{digits}f}' if key in faiss else ''
            print(
                f'| {name} | {unit} | {peer[key]:.{digits}f} '
                f'| {ours[key]:.{digits}f} '
                f'| {ours[key] / max(peer[key], least):.2f} | {other} |',
                flush=True,
            )


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pairs', type=int, default=1_510_330)
    parser.add_argument('--triplets', type=int, default=1_150_000)
    parser.add_argument('--items', type=int, default=1_000_000)
    parser.add_argument('--results', type=int, default=80_000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--only', nargs='*', help='words of lines to measure')
    parser.add_argument('--folder', type=Path, help='keep the data there')
    parser.add_argument('--child', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.child:
        child(args, *args.child)
        return
    with tempfile.TemporaryDirectory() as temporary:
        args.folder = args.folder or Path(temporary)
        if not (args.folder / 'mals').exists():
            write_mals(args.folder / 'mals', args.pairs)
        if not (args.folder / 'syn').exists():
            write_syn(args.folder / 'syn', args.triplets)
        run(args)


if __name__ == '__main__':
    main()
