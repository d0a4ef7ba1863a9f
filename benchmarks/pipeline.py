"""Images a second and core that a training pipeline gives, by step.

Reads synthetic jpegs with captions through the training datasets of three
configs, as one worker of a data loader does, and through torchvision's v2
transforms that do the same work, round by round in one process. The first
epoch is left out: what is kept from it is what later epochs read. Prints
Markdown tables; times are those of the processor, the best of ``--rounds``.

    python benchmarks/pipeline.py [--images 512] [--rounds 5]
        [--vocab vocab.txt] [--decoder turbojpeg] [--reduce]
        [--torch-resize] [--json FILE]
        [--configs wora_cuhk wora_aptm_cuhk fafa_clip_syncpr_itcpr]
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import mmengine
import numpy as np
import open_clip
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torchvision import tv_tensors
from torchvision.transforms import v2

from mmtpr.datasets.transforms import ImageTransforms
from mmtpr.registry import DATASETS
from mmtpr.structures import collate_samples
from mmtpr.testing.configs import _drop_filters
from mmtpr.text import build_bert_tokenizer

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
WORDS = """
the a man woman person pedestrian is wears wearing walking with and in
on of to his her black white grey blue red green yellow purple brown
jacket coat shirt t-shirt trousers jeans shorts skirt dress shoes
sneakers boots backpack handbag bag hat cap glasses hair long short
dark light sleeved left right hand carrying holding phone umbrella
"""
SPECIAL = '[PAD] [UNK] [CLS] [SEP] [MASK] . -'


def write_data(root, number, height, width):
    """Smooth images with noise, a caption of 20 to 40 words each."""
    rng = np.random.default_rng(0)
    records, triplets = [], []
    Path(root, 'imgs').mkdir()
    for i in range(number):
        coarse = rng.integers(0, 256, (12, 5, 3)).astype(np.uint8)
        image = cv2.resize(
            coarse, (width, height), interpolation=cv2.INTER_CUBIC
        )
        noise = rng.normal(0, 4, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
        cv2.imwrite(f'{root}/imgs/{i}.jpg', image, quality)
        words = rng.choice(WORDS.split(), int(rng.integers(20, 41)))
        caption = ' '.join(words).capitalize() + '.'
        path = f'imgs/{i}.jpg'
        records.append(
            dict(id=i, split='train', file_path=path, captions=[caption])
        )
        triplets.append(
            dict(
                reference_image_path=f'imgs/{(i + 1) % number}.jpg',
                target_image_path=path,
                edit_caption=caption,
                cpr_id=i,
            )
        )
    Path(root, 'reid_raw.json').write_text(json.dumps(records))
    Path(root, 'SynCPR.json').write_text(json.dumps(triplets))


def build_dataset(name, root, vocab, loader, torch_resize):
    """The training dataset of a config, on the synthetic data."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    cfg = _drop_filters(config.train_dataloader.dataset.to_dict())
    if cfg['type'].endswith('SynCPR'):
        cfg.update(val_ids=0)
    else:
        cfg.update(data_prefix=dict(img_path=''))
    cfg.update(data_root=str(root))
    for node in walk(cfg['pipeline']):
        if 'vocab' in node:
            node['vocab'] = str(vocab)
        if node['type'].endswith('LoadImageFromFile') and loader:
            node.update(loader)
        if torch_resize and node.get('interpolation') == 'bicubic':
            scale = node['scale']
            node.clear()
            node.update(type='mmtpr.ResizeBicubic', scale=scale)
    return DATASETS.build(cfg)


def walk(node):
    """All configs of transforms in a pipeline."""
    if isinstance(node, dict) and 'type' in node:
        yield node
    values = node.values() if isinstance(node, dict) else node
    for value in values if isinstance(node, (dict, list, tuple)) else ():
        if isinstance(value, (dict, list, tuple)):
            yield from walk(value)


class Timed:
    """A transform that adds up its seconds."""

    def __init__(self, transform, seconds):
        self.transform, self.seconds = transform, seconds
        self.name = type(transform).__name__

    def __call__(self, results):
        """Apply the transform."""
        start = time.thread_time()
        out = self.transform(results)
        self.seconds[self.name] += time.thread_time() - start
        return out

    def __getattr__(self, name):
        return getattr(self.transform, name)


def time_steps(dataset):
    """Put a clock around every transform; gives the dict of seconds."""
    seconds: dict = defaultdict(float)

    def clocked(transforms):
        done = []
        for transform in transforms:
            if isinstance(transform, ImageTransforms):
                transform.transforms = clocked(transform.transforms)
                done.append(transform)
            else:
                done.append(Timed(transform, seconds))
        return done

    dataset.pipeline.transforms = clocked(dataset.pipeline.transforms)
    return seconds


class Peer:
    """The same work by torchvision's v2 transforms and plain tokenizers."""

    def __init__(self, dataset, name, vocab):
        self.samples = [dataset.get_data_info(i) for i in range(len(dataset))]
        self.aptm = 'aptm' in name
        bicubic = v2.InterpolationMode.BICUBIC
        resize = v2.Resize((384, 128), antialias=False)
        steps = [resize, v2.RandomHorizontalFlip()]
        erase = [v2.RandomErasing(0.5, (0.02, 0.4), (0.3, 3.3), 110)]
        if self.aptm:
            steps[0] = v2.Resize((384, 128), bicubic, antialias=True)
            steps += [v2.RandAugment(2, 7), *erase]
        elif 'fafa' not in name:
            steps += [v2.Pad(10), v2.RandomCrop((384, 128)), *erase]
        self.images = v2.Compose(steps)
        if self.aptm:
            self.bert = build_bert_tokenizer(str(vocab), 56)
        else:
            self.clip = open_clip.get_tokenizer('ViT-B-16')

    def tokenize(self, caption):
        """Token ids."""
        if self.aptm:
            return torch.tensor(self.bert.encode(caption).ids)
        return self.clip([caption])[0]

    def __getitem__(self, index):
        sample = self.samples[index]
        paths = [
            sample[k] for k in ('img_path', 'reference_path') if k in sample
        ]
        images = [
            tv_tensors.Image(torchvision.io.decode_image(p)) for p in paths
        ]
        tokens = self.tokenize(sample['caption'])
        more = [self.tokenize(sample['caption'])] if self.aptm else []
        return (self.images(*images), tokens, *more)


def seconds_of(dataset, order):
    """Seconds that the samples take."""
    start = time.thread_time()
    for index in order:
        dataset[index]
    return time.thread_time() - start


def seconds_of_collating(dataset, order, batch_size=64):
    """Seconds that stacking the samples takes."""
    total = 0.0
    for first in range(0, len(order) - batch_size + 1, batch_size):
        batch = [dataset[i] for i in order[first : first + batch_size]]
        start = time.thread_time()
        collate_samples(batch)
        total += time.thread_time() - start
    return total * len(order) / (len(order) // batch_size * batch_size)


def measure(name, root, vocab, args):
    """Seconds a sample: whole, peer and by step."""
    loader = {}
    if args.decoder:
        loader.update(type='mmtpr.LoadImage', imdecode_backend=args.decoder)
    if args.reduce:
        loader.update(type='mmtpr.LoadImage', reduce_to=(128, 384))
    plain, timed = (
        build_dataset(name, root, vocab, loader, args.torch_resize)
        for _ in 'ab'
    )
    peer = Peer(plain, name, vocab)
    steps = time_steps(timed)
    order = np.random.default_rng(0).permutation(len(plain)).tolist()
    found = defaultdict(list)
    seconds_of(plain, order), seconds_of(timed, order)
    seconds_of(peer, order[:32])
    for seed in range(args.rounds):
        np.random.seed(seed)
        found['mmtpr'].append(seconds_of(plain, order))
        torch.manual_seed(seed)
        found['torchvision v2'].append(seconds_of(peer, order))
        np.random.seed(seed)
        steps.clear()
        seconds_of(timed, order)
        for step, seconds in steps.items():
            found[step].append(seconds)
        found['collating'].append(seconds_of_collating(plain, order))
    return {key: min(values) / len(order) for key, values in found.items()}


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=512)
    parser.add_argument('--size', type=int, nargs=2, default=(380, 150))
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--vocab', help='of BERT; default: the words used')
    parser.add_argument(
        '--configs',
        nargs='+',
        default=['wora_cuhk', 'wora_aptm_cuhk', 'fafa_clip_syncpr_itcpr'],
    )
    parser.add_argument('--decoder', help='imdecode_backend of the loader')
    parser.add_argument('--reduce', action='store_true')
    parser.add_argument('--torch-resize', action='store_true')
    parser.add_argument('--json', help='write the seconds here too')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmtpr')
    mmengine.logging.MMLogger.get_instance('mmengine', log_level='WARNING')
    all_found = {}
    with tempfile.TemporaryDirectory() as root:
        write_data(root, args.images, *args.size)
        vocab = args.vocab
        if vocab is None:
            vocab = Path(root, 'vocab.txt')
            vocab.write_text('\n'.join(SPECIAL.split() + WORDS.split()))
        for name in args.configs:
            all_found[name] = found = measure(name, root, vocab, args)
            ours, theirs = found.pop('mmtpr'), found.pop('torchvision v2')
            print(f'\n| {name} | samples a second and core | ms |')
            print('|---|---:|---:|')
            print(f'| mmtpr | {1 / ours:.0f} | {1e3 * ours:.3f} |')
            print(
                f'| torchvision v2 | {1 / theirs:.0f} | {1e3 * theirs:.3f} |'
            )
            for step, seconds in found.items():
                print(f'| {step} | | {1e3 * seconds:.3f} |')
            found.update(mmtpr=ours, torchvision=theirs)
    if args.json:
        Path(args.json).write_text(json.dumps(all_found))


if __name__ == '__main__':
    main()
