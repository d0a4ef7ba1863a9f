"""SynCPR, the training set of composed person retrieval."""

import pickle
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from mmtpr.registry import DATASETS

from .annotations.composed_records import COMPOSED_GUIDE
from .composed_base import ComposedDataset
from .frugal_dataset import drain

#: Keys of a triplet's images.
IMAGE_KEYS = dict(reference_image_path=str, target_image_path=str)


@DATASETS.register_module()
class SynCPR(ComposedDataset):
    """SynCPR (arXiv 2311.16515 v4): 1.15 M triplets.

    One json file:

    .. code-block:: none

        [{"reference_image_path": "...", "target_image_path": "...",
          "reference_caption": "...", "target_caption": "...",
          "edit_caption": "...", "cpr_id": 0}, ...]

    A sample is ``dict(role='train', reference_path, img_path, caption,
    target_caption, reference_caption, pid, cpr_id)``: ``img_path`` is the
    target, ``caption`` the sentence that leads to it, ``pid`` the group id
    ``cpr_id`` renumbered to 0..C-1. A val split cut by group id serves to
    choose checkpoints; its samples are those of a test as in :class:`ITCPR`:
    queries, ``dict(role='query', img_path=reference, caption, instance_id,
    pid, image_id)``, then the gallery, ``dict(role='gallery', img_path,
    instance_id, pid, image_id)``, of every target and every reference, each
    image once. Right is what shows the outfit: all targets of the query's
    group, and of groups that share a target with it. References that are no
    target are distractors, ``instance_id=-1``.

    Args:
        ann_file (str): Defaults to ``'SynCPR.json'``.
        data_root (str): Defaults to ''.
        data_prefix (dict, optional): Image folder, relative to
            ``data_root``. Defaults to the data root.
        split (str): ``'train'`` or ``'val'``. Defaults to ``'train'``.
        val_ids (int | str): Group ids set aside as val, drawn by
            ``val_seed``. Give the same numbers to both splits; ``'all'``
            where the file holds nothing but val. Defaults to 0.
        val_seed (int): Defaults to 0.
        broken_images (str): ``'skip'`` decodes every image while loading,
            and drops and counts triplets without one; ``'error'`` leaves it
            to the pipeline to name the first one met. Defaults to
            ``'error'``.
        empty_captions (str): ``'error'`` or ``'skip'`` and count. Defaults
            to ``'error'``.
        missing_images (str, optional): ``'error'`` or ``'skip'`` looks while
            loading whether every image exists, without opening any, and
            stops or drops and counts triplets. Defaults to None.
        **kwargs: Further arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: If the annotation file is absent.
        ValueError: Naming file, record and key of malformed annotations.
    """

    METAINFO = dict(dataset_name='SynCPR')

    def __init__(
        self,
        ann_file: str = 'SynCPR.json',
        data_root: str = '',
        data_prefix: dict | None = None,
        split: str = 'train',
        val_ids: int | str = 0,
        val_seed: int = 0,
        broken_images: str = 'error',
        empty_captions: str = 'error',
        missing_images: str | None = None,
        **kwargs,
    ) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split={split!r} must be 'train' or 'val'.")
        if isinstance(val_ids, str) and (val_ids, split) != ('all', 'val'):
            raise ValueError(
                f"val_ids={val_ids!r} must be a number, or 'all' of the split "
                "'val'."
            )
        self.split, self.val_ids, self.val_seed = split, val_ids, val_seed
        super().__init__(
            choices=dict(
                broken_images=broken_images, empty_captions=empty_captions
            ),
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix,
            missing_images=missing_images,
            **kwargs,
        )

    def load_records(self) -> list[dict]:
        """Read the triplets of all splits, less those without sentence.

        Returns:
            list[dict]: As they are in the file.
        """
        skipped: list[int] = []
        records = list(self._read(skipped))
        self.report_skipped(self.ann_file, skipped)
        return records

    def load_samples(self) -> Iterable[dict]:
        """Read the triplets of the split.

        Returns:
            Iterable[dict]: Triplets to train on, or queries and gallery.
        """
        skipped: list[int] = []
        ids: list[int] = []
        # The ids of all decide what each becomes. Until then triplets are
        # held pickled: smaller than as dicts, and the text is let go.
        chunks = [*_pickled_chunks(self._read(skipped), ids)]
        self.report_skipped(self.ann_file, skipped)
        self.check_some_left(ids, 'triplet', self.ann_file)
        chosen = self._split_ids(ids)
        records: Iterable[dict] = (
            record
            for chunk in drain(chunks)
            for record in pickle.loads(chunk)
            if record['cpr_id'] in chosen
        )
        ids = [i for i in ids if i in chosen]
        whole = self.choices['missing_images']
        if whole or self.choices['broken_images'] == 'skip':
            records = self.drop_broken(list(records), [*IMAGE_KEYS])
            ids = [record['cpr_id'] for record in records]
        what = f'triplet of the split "{self.split}"'
        self.check_some_left(ids, what, self.ann_file)
        number = {cpr_id: i for i, cpr_id in enumerate(sorted(set(ids)))}
        self._metainfo.update(
            split=self.split, num_pids=len(number), num_triplets=len(ids)
        )
        if self.split == 'train':
            return (self._triplet(r, number[r['cpr_id']]) for r in records)
        return self._queries_and_gallery(list(records), number)

    def _read(self, skipped: list[int]) -> Iterator[dict]:
        required = {**IMAGE_KEYS, 'cpr_id': int}
        captions = ('edit_caption',)
        what = 'annotation file'
        return self.iter_checked(
            self.ann_file, required, captions, what, 'ann_file', skipped
        )

    def _split_ids(self, all_ids: Iterable[int]) -> set[int]:
        """The group ids of the split."""
        ids = np.array(sorted(set(all_ids)))
        if isinstance(self.val_ids, str):
            return set(ids.tolist())
        if self.val_seed is None:
            raise ValueError(
                'val_seed=None would draw other groups for val each time, '
                'among them some of train. Give a number.'
            )
        if self.val_ids >= len(ids) or (self.split == 'val') > self.val_ids:
            raise ValueError(
                f'val_ids={self.val_ids} must leave triplets for both splits: '
                f'"{self.ann_file}" has {len(ids)} group ids. See '
                f'{COMPOSED_GUIDE}.'
            )
        order = np.random.default_rng(self.val_seed).permutation(ids)
        if self.split == 'val':
            return set(order[: self.val_ids].tolist())
        return set(order[self.val_ids :].tolist())

    def _triplet(self, record: dict, pid: int) -> dict:
        return dict(
            role='train',
            reference_path=record['reference_image_path'],
            img_path=record['target_image_path'],
            caption=record['edit_caption'],
            reference_caption=record.get('reference_caption', ''),
            target_caption=record.get('target_caption', ''),
            pid=pid,
            cpr_id=record['cpr_id'],
        )

    def _queries_and_gallery(
        self, records: list[dict], number: dict[int, int]
    ) -> list[dict]:
        """A query of each triplet, and a gallery item of each image."""
        pairs = [
            (r['target_image_path'], number[r['cpr_id']]) for r in records
        ]
        outfits = _shared_outfits(pairs)
        target_of = dict(reversed(pairs))
        paths = [target for target, _ in pairs]
        paths += [record['reference_image_path'] for record in records]
        image_ids: dict[str, int] = {}
        for path in paths:
            image_ids.setdefault(path, len(image_ids))
        queries = [
            self._item(
                'query',
                record['reference_image_path'],
                number[record['cpr_id']],
                outfits,
                image_ids,
            )
            | dict(caption=record['edit_caption'])
            for record in records
        ]
        gallery = [
            self._item(
                'gallery', path, target_of.get(path, -1), outfits, image_ids
            )
            for path in image_ids
        ]
        return [*queries, *gallery]

    def _item(
        self,
        role: str,
        path: str,
        pid: int,
        outfits: dict[int, int],
        image_ids: dict[str, int],
    ) -> dict:
        return dict(
            role=role,
            img_path=path,
            instance_id=outfits.get(pid, -1),
            pid=pid,
            image_id=image_ids[path],
        )


def _pickled_chunks(
    records: Iterable[dict], ids: list[int]
) -> Iterator[bytes]:
    """Pickle some hundred records at a time; takes their ids on the way."""
    records = iter(records)
    while some := [*islice(records, 200)]:
        ids += [record['cpr_id'] for record in some]
        yield pickle.dumps(some, pickle.HIGHEST_PROTOCOL)


def _shared_outfits(pairs: list[tuple[str, int]]) -> dict[int, int]:
    """Number of the outfit of each group: one where a target is shared.

    Args:
        pairs (list[tuple[str, int]]): Target and group of each triplet.

    Returns:
        dict[int, int]: Outfit by group.
    """
    groups = sorted({group for _, group in pairs})
    row = {group: i for i, group in enumerate(groups)}
    first = dict(reversed(pairs))
    links = np.array([(row[first[path]], row[group]) for path, group in pairs])
    parents = np.arange(len(groups))
    while True:  # each group takes the smallest number among its neighbours
        low = parents.copy()
        np.minimum.at(low, links[:, 0], parents[links[:, 1]])
        np.minimum.at(low, links[:, 1], parents[links[:, 0]])
        low = low[low]
        if (low == parents).all():
            return dict(zip(groups, parents.tolist(), strict=True))
        parents = low
