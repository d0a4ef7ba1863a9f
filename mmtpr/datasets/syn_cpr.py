"""SynCPR, the training set of composed person retrieval."""

import logging
import os

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmtpr.registry import DATASETS

from .annotations import read_records
from .composed_records import COMPOSED_GUIDE, check_composed_records
from .image_check import find_bad_images

_KEYS = dict(reference_image_path=str, target_image_path=str)


@DATASETS.register_module()
class SynCPR(BaseDataset):
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
    choose checkpoints; in the form ``'retrieval'`` its samples are queries,
    ``dict(role='query', img_path=reference, caption, instance_id)``, and the
    target pictures as the gallery.

    Args:
        ann_file (str): Defaults to ``'SynCPR.json'``.
        data_root (str): Defaults to ''.
        data_prefix (dict, optional): Image folder, relative to
            ``data_root``. Defaults to the data root.
        split (str): ``'train'`` or ``'val'``. Defaults to ``'train'``.
        val_ids (int): Group ids set aside as val, drawn by ``val_seed``.
            Give the same numbers to both splits. Defaults to 0.
        val_seed (int): Defaults to 0.
        broken_images (str): ``'skip'`` decodes every picture while loading,
            and drops and counts triplets without one; ``'error'`` leaves it
            to the pipeline to name the first one met. Defaults to
            ``'error'``.
        empty_captions (str): ``'error'`` or ``'skip'`` and count. Defaults
            to ``'error'``.
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
        val_ids: int = 0,
        val_seed: int = 0,
        broken_images: str = 'error',
        empty_captions: str = 'error',
        **kwargs,
    ) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split={split!r} must be 'train' or 'val'.")
        for name, choice in (
            ('broken_images', broken_images),
            ('empty_captions', empty_captions),
        ):
            if choice not in ('error', 'skip'):
                raise ValueError(
                    f"{name}={choice!r} must be 'error' or 'skip'."
                )
        self.split, self.val_ids, self.val_seed = split, val_ids, val_seed
        self.broken_images, self.empty_captions = broken_images, empty_captions
        self.load_report: dict = dict(broken_images=[], empty_captions=[])
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix={'img_path': '', **(data_prefix or {})},
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the triplets of the split.

        Returns:
            list[dict]: Triplets to train on, or queries and gallery.
        """
        records, skipped = check_composed_records(
            read_records(self.ann_file),
            {**_KEYS, 'cpr_id': int},
            self.ann_file,
            ('edit_caption',),
            self.empty_captions,
        )
        self._report('empty_captions', skipped, 'triplets without sentence')
        records = self._drop_broken(self._take_split(records))
        ids = sorted({record['cpr_id'] for record in records})
        number = {cpr_id: i for i, cpr_id in enumerate(ids)}
        self._metainfo.update(
            split=self.split, num_pids=len(ids), num_triplets=len(records)
        )
        if self.split == 'train':
            return [self._triplet(r, number[r['cpr_id']]) for r in records]
        return self._queries_and_gallery(records, number)

    def _take_split(self, records: list[dict]) -> list[dict]:
        ids = np.array(sorted({record['cpr_id'] for record in records}))
        if self.val_ids >= len(ids) or (self.split == 'val') > self.val_ids:
            raise ValueError(
                f'val_ids={self.val_ids} must leave triplets for both splits: '
                f'"{self.ann_file}" has {len(ids)} group ids. See '
                f'{COMPOSED_GUIDE}.'
            )
        rng = np.random.default_rng(self.val_seed)
        chosen = set(rng.permutation(ids)[: self.val_ids].tolist())
        wanted = self.split == 'val'
        return [r for r in records if (r['cpr_id'] in chosen) == wanted]

    def _triplet(self, record: dict, pid: int) -> dict:
        return dict(
            role='train',
            reference_path=self._image_path(record['reference_image_path']),
            img_path=self._image_path(record['target_image_path']),
            caption=record['edit_caption'],
            reference_caption=record.get('reference_caption', ''),
            target_caption=record.get('target_caption', ''),
            pid=pid,
            cpr_id=record['cpr_id'],
        )

    def _queries_and_gallery(
        self, records: list[dict], number: dict[int, int]
    ) -> list[dict]:
        """A query of each triplet; its target picture is what matches."""
        targets: dict[str, dict] = {}
        queries = []
        for record in records:
            path = record['target_image_path']
            pid = number[record['cpr_id']]
            item = targets.setdefault(
                path,
                dict(
                    role='gallery',
                    img_path=self._image_path(path),
                    instance_id=len(targets),
                    pid=pid,
                ),
            )
            queries.append(
                dict(
                    role='query',
                    img_path=self._image_path(record['reference_image_path']),
                    caption=record['edit_caption'],
                    instance_id=item['instance_id'],
                    pid=pid,
                )
            )
        return [*queries, *targets.values()]

    def _image_path(self, path: str) -> str:
        return os.path.join(self.data_prefix['img_path'], path)

    def _drop_broken(self, records: list[dict]) -> list[dict]:
        if self.broken_images == 'error':
            return records
        bad = find_bad_images(
            self._image_path(record[key])
            for record in records
            for key in _KEYS
        )
        self._report('broken_images', [*bad], 'broken pictures')
        return [
            record
            for record in records
            if not any(self._image_path(record[key]) in bad for key in _KEYS)
        ]

    def _report(self, name: str, found: list, what: str) -> None:
        self.load_report[name] = found
        if found:
            print_log(
                f'SynCPR: left out {len(found)} {what}, first {found[0]}',
                logger='current',
                level=logging.WARNING,
            )
