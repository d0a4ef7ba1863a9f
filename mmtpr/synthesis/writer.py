"""Writing a whole synthetic world to disk."""

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import cv2

from mmtpr.utils import read_json
from mmtpr.utils.progress import progress

from .base import PedestrianGenerator
from .changes import SAMPLE_SENTENCES
from .folders import write_json, write_once
from .identities import (
    LABEL_NAMES,
    distinctly_dressed,
    sample_identities,
)
from .layouts import PAIR_KINDS, Shot, cuhk_layout, mals_layout
from .vocabulary import write_bert_vocabulary, write_vocabulary
from .world import ProceduralWorld

_FORMAT = 4  # raise when the same settings give other files
_QUALITY = 92  # of the JPEG files


@dataclass(frozen=True)
class ToySettings:
    """Settings of a toy dataset.

    Args:
        size (tuple[int, int]): Height and width of images in pixels.
        seed (int): Seed of everything.
        train (int): People of the target set's training split.
        val (int): People of its validation split.
        test (int): People of its test split.
        views (int): Images of each of them.
        captions (int): Captions of each of these images.
        pretrain (int): People of the noisy pre-training set.
        pretrain_views (int): Images of each of them.
        wrong (float): Share of wrong captions there.
        pretrain_quality (float): Cleanness of its images; see
            :class:`ProceduralWorld`.
    """

    size: tuple[int, int] = (128, 64)
    seed: int = 0
    train: int = 400
    val: int = 100
    test: int = 220
    views: int = 3
    captions: int = 2
    pretrain: int = 6000
    pretrain_views: int = 1
    wrong: float = 0.3
    pretrain_quality: float = 1.4


def write_toy_data(
    out: str | os.PathLike, settings: ToySettings, processes: int = 1
) -> bool:
    """Write target and pre-training set, whole or not at all.

    .. code-block:: none

        out/target/reid_raw.json, imgs/    CUHK-PEDES layout
        out/pretrain/gene_attrs/g_*.json, imgs/    MALS layout
        out/pretrain/truth.json            how each pair is wrong
        out/vocabulary.txt.gz              byte pairs for CLIP's tokenizer
        out/vocab.txt                      words for BERT's
        out/settings.json

    No two people of a world, over all splits, share all attributes. The
    vocabularies know the sentences of composed queries too. Data written
    before there was a ``vocab.txt`` are given one.

    Args:
        out (str | PathLike): Folder to be made. One with the same settings is
            left alone; one with other settings is an error.
        settings (ToySettings): What to write.
        processes (int): Number of drawing processes; the files do not depend
            on it. Defaults to 1.

    Returns:
        bool: Whether anything was written.

    Raises:
        FileExistsError: If ``out`` exists and holds something else.
    """

    def fill(folder: Path) -> None:
        splits = _people(settings)
        noisy = splits.pop('pretrain')
        texts = _write_target(folder / 'target', splits, settings, processes)
        texts += _write_pretrain(
            folder / 'pretrain', noisy, settings, processes
        )
        texts += SAMPLE_SENTENCES
        write_vocabulary(texts, folder / 'vocabulary.txt.gz')

    written = write_once(out, settings, _FORMAT, fill)
    words = Path(out) / 'vocab.txt'
    if not words.is_file():
        texts = [*captions_on_disk(Path(out)), *SAMPLE_SENTENCES, *LABEL_NAMES]
        write_bert_vocabulary(texts, words)
    return written


def captions_on_disk(folder: Path) -> list[str]:
    """Read all captions of a toy dataset.

    Args:
        folder (Path): What :func:`write_toy_data` wrote.

    Returns:
        list[str]: Of the target set, then of the pre-training set.
    """
    records = read_json(folder / 'target/reid_raw.json')
    texts = [text for record in records for text in record['captions']]
    for path in sorted((folder / 'pretrain/gene_attrs').glob('g_*.json')):
        texts += [record['caption'] for record in read_json(path)]
    return texts


def _people(settings: ToySettings) -> dict[str, list]:
    """Share people out; those of val and test are told apart by clothes."""
    wanted = dict(test=settings.test, val=settings.val)
    others = settings.train + settings.pretrain
    pool = sample_identities(others + 10 * sum(wanted.values()), settings.seed)
    people = {}
    for split, count in wanted.items():
        people[split] = distinctly_dressed(pool, count)
        taken = {person.number for person in people[split]}
        pool = [person for person in pool if person.number not in taken]
    people['train'] = pool[: settings.train]
    people['pretrain'] = pool[settings.train : others]
    return people


def _write_target(
    folder: Path,
    splits: dict[str, list],
    settings: ToySettings,
    processes: int,
) -> list[str]:
    world = ProceduralWorld(settings.size, settings.seed)
    records, shots = cuhk_layout(
        world, splits, settings.views, settings.captions
    )
    draw_all(world, shots, folder, processes)
    write_json(folder / 'reid_raw.json', records)
    return [text for record in records for text in record['captions']]


def _write_pretrain(
    folder: Path, people: list, settings: ToySettings, processes: int
) -> list[str]:
    world = ProceduralWorld(
        settings.size, settings.seed, settings.pretrain_quality
    )
    records, shots, truth = mals_layout(
        world,
        people,
        settings.pretrain_views,
        settings.wrong,
        settings.seed,
    )
    draw_all(world, shots, folder, processes)
    for shard, start in enumerate(range(0, len(records), 2000)):
        part = records[start : start + 2000]
        write_json(folder / f'gene_attrs/g_{shard:03d}.json', part)
    write_json(folder / 'label_names.json', LABEL_NAMES)
    write_json(folder / 'truth.json', dict(names=PAIR_KINDS, kinds=truth))
    return [record['caption'] for record in records]


def draw_all(
    generator: PedestrianGenerator,
    shots: list[Shot],
    folder: str | os.PathLike,
    processes: int = 1,
) -> None:
    """Draw images and write them as JPEG files.

    Args:
        generator (PedestrianGenerator): Draws them.
        shots (list[Shot]): Which.
        folder (str | PathLike): Folder that their paths are relative to.
        processes (int): Number of processes. Defaults to 1.
    """
    for parent in {(Path(folder) / shot.path).parent for shot in shots}:
        parent.mkdir(parents=True, exist_ok=True)
    jobs = [
        (generator, shots[i : i + 100], str(folder))
        for i in range(0, len(shots), 100)
    ]
    with progress(len(shots), 'Drawing images') as done:
        if processes <= 1:
            for job in jobs:
                done(_draw_some(job))
            return
        with multiprocessing.Pool(processes) as pool:
            for number in pool.imap_unordered(_draw_some, jobs):
                done(number)


def _draw_some(job: tuple[PedestrianGenerator, list[Shot], str]) -> int:
    """Draw some shots; give their number."""
    generator, shots, folder = job
    cv2.setNumThreads(0)
    for shot in shots:
        image = generator.draw(shot.identity, shot.view)
        path = os.path.join(folder, shot.path)
        flags = [
            cv2.IMWRITE_JPEG_QUALITY,
            _QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        if not cv2.imwrite(path, image[..., ::-1], flags):
            raise OSError(f'The image "{path}" cannot be written.')
    return len(shots)
