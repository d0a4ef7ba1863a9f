"""A dataset of coloured figures in the published file layouts."""

import json
from pathlib import Path

import mmcv
import numpy as np

_COLOURS = {
    'red': (200, 40, 40),
    'green': (40, 160, 60),
    'blue': (40, 70, 200),
    'yellow': (220, 210, 50),
    'white': (235, 235, 235),
    'black': (25, 25, 25),
}
_SPLITS = ('train', 'val', 'test')
# Attributes of PA-100K.
_A = range(26)


def write_tiny_cuhk(
    root: str | Path,
    num_ids: tuple[int, int, int] = (6, 2, 3),
    images_per_id: int = 2,
    captions_per_image: int = 2,
    size: tuple[int, int] = (64, 32),
    seed: int = 0,
) -> Path:
    """Write images and ``reid_raw.json`` in the layout of CUHK-PEDES.

    Each identity has a colour of the top and one of the trousers, named in
    its captions. Identities of the splits are disjoint.

    Args:
        root (str | Path): Folder to write to, made if absent.
        num_ids (tuple[int, int, int]): Identities in train, val and test, at
            most 30 together. Defaults to (6, 2, 3).
        images_per_id (int): Images of each identity. Defaults to 2.
        captions_per_image (int): Captions of each image. Defaults to 2.
        size (tuple[int, int]): Height and width in pixels.
        seed (int): Seed of the noise in the images. Defaults to 0.

    Returns:
        Path: The root, holding ``reid_raw.json`` and ``imgs/``.

    Raises:
        ValueError: If there are more identities than pairs of colours.
    """
    records = _write_images(
        Path(root), num_ids, images_per_id, captions_per_image, size, seed
    )
    _dump(Path(root) / 'reid_raw.json', records)
    return Path(root)


def write_tiny_data(root: str | Path, **kwargs) -> Path:
    """Write one set of images with the annotation files of all datasets.

    ``reid_raw.json`` (CUHK-PEDES), ``ICFG-PEDES.json`` (val identities count
    as training ones), ``data_captions.json`` (RSTPReid),
    ``gene_attrs/g_0.json`` (MALS), ``SynCPR.json``, ``query.json`` and
    ``gallery.json`` (ITCPR) and ``PA100K.json`` describe the same images.

    Args:
        root (str | Path): Folder to write to, made if absent.
        **kwargs: Arguments of :func:`write_tiny_cuhk`.

    Returns:
        Path: The root.
    """
    root = write_tiny_cuhk(root, **kwargs)
    records = json.loads((root / 'reid_raw.json').read_text('utf-8'))
    icfg = [
        {**r, 'split': 'test' if r['split'] == 'test' else 'train'}
        for r in records
    ]
    _dump(root / 'ICFG-PEDES.json', icfg)
    rstp = [
        dict(
            id=r['id'],
            img_path=r['file_path'],
            captions=r['captions'],
            split=r['split'],
        )
        for r in records
    ]
    _dump(root / 'data_captions.json', rstp)
    mals = [
        dict(
            image=f'imgs/{r["file_path"]}',
            caption=r['captions'][0],
            image_id=str(index),
            label=[index % 2] * 27,
        )
        for index, r in enumerate(records)
        if r['split'] == 'train'
    ]
    _dump(root / 'gene_attrs/g_0.json', mals)
    attributes = [
        dict(image=r['file_path'], label=[(i + a) % 2 for a in _A])
        for i, r in enumerate(records)
    ]
    _dump(root / 'PA100K.json', attributes)
    _write_composed(root, records)
    return root


def _write_composed(root: Path, records: list[dict]) -> None:
    """Write triplets between two images of a person, and a gallery of all."""
    by_id: dict[int, list[dict]] = {}
    for record in records:
        by_id.setdefault(record['id'], []).append(record)
    triplets, queries, gallery = [], [], []
    for pid, group in by_id.items():
        paths = [f'imgs/{r["file_path"]}' for r in (group[0], group[-1])]
        caption = group[-1]['captions'][0]
        triplets += [
            dict(
                reference_image_path=reference,
                target_image_path=target,
                edit_caption=caption,
                cpr_id=pid,
            )
            for reference, target in (paths, paths[::-1])
        ]
        queries.append(
            dict(file_path=paths[0], instance_id=pid, caption=caption)
        )
        gallery += [
            dict(file_path=paths[1], instance_id=pid),
            dict(file_path=paths[0], instance_id=-1),
        ]
    _dump(root / 'SynCPR.json', triplets)
    _dump(root / 'query.json', queries)
    _dump(root / 'gallery.json', gallery)


def _write_images(root, num_ids, images, captions, size, seed) -> list[dict]:
    pairs = [(a, b) for a in _COLOURS for b in _COLOURS if a != b]
    if sum(num_ids) > len(pairs):
        raise ValueError(
            f'At most {len(pairs)} identities, got {sum(num_ids)}.'
        )
    rng = np.random.default_rng(seed)
    splits = [
        s for s, n in zip(_SPLITS, num_ids, strict=True) for _ in [0] * n
    ]
    records = []
    for pid, (split, pair) in enumerate(zip(splits, pairs, strict=False)):
        for view in range(images):
            name = f'{split}/{pid:04d}_{view}.png'
            image = _draw(rng, pair, size)
            mmcv.imwrite(image, str(root / 'imgs' / name))
            records.append(_record(pid, split, name, pair, captions))
    return records


def _record(pid, split, name, pair, captions) -> dict:
    top, bottom = pair
    wordings = (
        f'A person in a {top} top and {bottom} trousers.',
        f'The pedestrian wears {bottom} trousers with a {top} shirt.',
        f'Someone with a {top} jacket and {bottom} pants is walking.',
    )
    texts = [wordings[i % len(wordings)] for i in range(captions)]
    return dict(
        id=pid,
        split=split,
        file_path=name,
        captions=texts,
        processed_tokens=[t.lower().rstrip('.').split() for t in texts],
    )


def _draw(rng, pair, size) -> np.ndarray:
    height, width = size
    image = rng.integers(100, 156, (height, width, 3))
    left, right = width // 4, width - width // 4
    top, bottom = (np.array(_COLOURS[name][::-1]) for name in pair)
    image[height // 6 : height // 2, left:right] = top
    image[height // 2 : height - 2, left:right] = bottom
    noise = rng.normal(0, 8, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _dump(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')
