"""SynCPR, the training set of composed person retrieval."""

import numpy as np

from mmtpr.registry import DATASETS

from .composed_base import ComposedDataset
from .composed_records import COMPOSED_GUIDE

_KEYS = dict(reference_image_path=str, target_image_path=str)


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
        self.split, self.val_ids, self.val_seed = split, val_ids, val_seed
        super().__init__(
            choices=dict(
                broken_images=broken_images, empty_captions=empty_captions
            ),
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the triplets of the split.

        Returns:
            list[dict]: Triplets to train on, or queries and gallery.
        """
        records = self.read_checked(
            self.ann_file, {**_KEYS, 'cpr_id': int}, ('edit_caption',)
        )
        records = self.drop_broken(self._take_split(records), [*_KEYS])
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
            reference_path=self.image_path(record['reference_image_path']),
            img_path=self.image_path(record['target_image_path']),
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
                    img_path=self.image_path(path),
                    instance_id=len(targets),
                    pid=pid,
                ),
            )
            queries.append(
                dict(
                    role='query',
                    img_path=self.image_path(record['reference_image_path']),
                    caption=record['edit_caption'],
                    instance_id=item['instance_id'],
                    pid=pid,
                )
            )
        return [*queries, *targets.values()]
