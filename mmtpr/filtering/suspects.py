"""Pairs and images that people should look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtpr.structures.pairs import IMAGE_KEYS, Pairs, innermost

from .joining import positions
from .scores import RelevanceScores

#: Columns of a table of near-duplicates.
COUPLE_COLUMNS = [
    *('cosine', 'split_a', 'path_a', 'pid_a'),
    *('split_b', 'path_b', 'pid_b'),
]


@dataclass(frozen=True)
class SplitImage:
    """An image of a dataset.

    Attributes:
        split (str): Name of the dataset it is first seen in.
        entry (dict): The dataset's entry, without caption, as a gallery item.
        pid (Any): Who is seen, as the annotations number persons, so that
            splits can be compared; '' if unknown.
    """

    split: str
    entry: dict[str, Any]
    pid: Any = ''

    @property
    def path(self) -> str:
        """Where the image lies."""
        return str(self.entry['img_path'])


@dataclass(frozen=True)
class Couple:
    """Two images that are nearly the same.

    Attributes:
        first (SplitImage): The one that comes first.
        second (SplitImage): The other one.
        cosine (float): Of their embeddings.
    """

    first: SplitImage
    second: SplitImage
    cosine: float

    @property
    def row(self) -> tuple:
        """Values of :data:`COUPLE_COLUMNS`."""
        a, b = self.first, self.second
        cosine = f'{self.cosine:.6f}'
        return (cosine, a.split, a.path, a.pid, b.split, b.path, b.pid)

    @property
    def section(self) -> dict[str, Any]:
        """For :func:`mmtpr.visualization.result_page.render_page`."""
        a, b = self.first, self.second
        across = a.split != b.split
        where = f'{a.split} and {b.split}' if across else a.split
        return dict(
            caption=f'Near-duplicates in {where}',
            ranking=[
                dict(
                    img_path=image.path,
                    name=image.path,
                    score=self.cosine,
                    columns=dict(split=image.split, pid=image.pid),
                )
                for image in (a, b)
            ],
            note='They are in two splits: a test of one that trained on the '
            'other tells nothing.'
            if across
            else '',
        )


def worst_pairs(scores: RelevanceScores, num: int) -> list[int]:
    """Find the pairs that fit worst.

    Args:
        scores (RelevanceScores): Scores of N pairs.
        num (int): How many to find, cut to the number of pairs whose image
            could be read.

    Returns:
        list[int]: Their indices, the worst first; of equal ones the first.
    """
    readable = np.flatnonzero(np.isfinite(scores.score))
    order = np.argsort(-positions(scores)[readable], kind='stable')
    return readable[order[:num]].tolist()


def pair_section(
    pairs: Pairs, scores: RelevanceScores, index: int
) -> dict[str, Any]:
    """Show a pair on a page of results.

    Args:
        pairs (Pairs): The dataset.
        scores (RelevanceScores): Its scores.
        index (int): The pair.

    Returns:
        dict: For :func:`mmtpr.visualization.result_page.render_page`.
    """
    path = pairs.paths[index]
    item = dict(
        img_path=path,
        name=path,
        score=float(scores.score[index]),
        columns=dict(pair=index, rank=int(scores.rank[index])),
    )
    return dict(
        caption=f'Pair {index}: {pairs.captions[index]}', ranking=[item]
    )


def images_of(
    splits: Mapping[str, Any], image_key: str | None = None
) -> list[SplitImage]:
    """List the images of some datasets, each once.

    Args:
        splits (Mapping[str, Any]): Datasets by name, fully initialised.
        image_key (str, optional): Key of the path. Defaults to None:
            ``img_path``. Entries without it, such as queries, are passed by.

    Returns:
        list[SplitImage]: The images. A file that two datasets name is listed
        for each of them: it is the plainest of leaks.
    """
    key = image_key or IMAGE_KEYS[0]
    found: dict[tuple[str, str], SplitImage] = {}
    for name, dataset in splits.items():
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            path = info.get(key)
            if not isinstance(path, str) or (name, path) in found:
                continue
            entry = {k: v for k, v in info.items() if k != 'caption'}
            entry.update(role='gallery', img_path=path)
            pid = _file_pid(dataset, index, info.get('pid', ''))
            found[name, path] = SplitImage(name, entry, pid)
    return list(found.values())


def _file_pid(dataset: Any, index: int, pid: Any) -> Any:
    """Who an entry shows, as the annotations say it."""
    dataset = innermost(dataset, index)
    return dataset.file_pid(pid) if hasattr(dataset, 'file_pid') else pid
