"""CUHK-PEDES."""

from collections.abc import Sequence

from mmtpr.registry import DATASETS

from .annotations.published_sizes import PUBLISHED
from .annotations.records import PersonRecord
from .annotations.splits import split_by_order
from .text_person_dataset import TextPersonDataset


@DATASETS.register_module()
class CUHKPEDES(TextPersonDataset):
    """CUHK-PEDES (Li et al., CVPR 2017): 13,003 persons, 2 captions an image.

    Three layouts of the annotations are read:

    .. code-block:: none

        reid_raw.json     [{"split": "train", "file_path": "cam_a/1.png",
                            "captions": ["A man ...", "He ..."], "id": 1,
                            "processed_tokens": [...]}, ...]
        caption_all.json  the same without "split"
        cuhk_train.json   [{"image": "imgs/cam_a/1.png", "image_id": 1,
                            "caption": "A man ..." or [...]}, ...], one file
                          a split, as processed by APTM

    ``caption_all.json`` names no splits; the published ones are consecutive
    in the identities of ``reid_raw.json``, 1..11003, ..12003, ..13003. A
    warning says so where the numbers of images are not those published,
    which means that a file numbers its identities otherwise. ``image_id`` of
    the processed files is the identity.

    Args:
        ann_file (str): Annotation file. Defaults to ``'reid_raw.json'``.
        split_pids (Sequence[int]): Identities of train, val and test in a
            file that names no splits. Defaults to (11003, 1000, 1000).
        **kwargs: Arguments of :class:`TextPersonDataset`.
    """

    METAINFO = dict(dataset_name='CUHK-PEDES')
    layouts = ('reid_raw', 'caption_all', 'aptm')

    def __init__(
        self,
        ann_file: str = 'reid_raw.json',
        split_pids: Sequence[int] = (11003, 1000, 1000),
        **kwargs,
    ) -> None:
        self.split_pids = tuple(split_pids)
        super().__init__(ann_file=ann_file, **kwargs)

    def _assign_splits(
        self, records: list[PersonRecord], layout: str
    ) -> list[PersonRecord]:
        if layout == 'caption_all':
            records = split_by_order(records, self.split_pids, self.source)
            self._compare_with_published(records)
            return records
        return super()._assign_splits(records, layout)

    def _compare_with_published(self, records: list[PersonRecord]) -> None:
        counts = PUBLISHED['CUHK-PEDES']
        if self.split_pids != tuple(c.pids for c in counts.values()):
            return
        found: dict[str, set[str]] = {name: set() for name in counts}
        for record in records:
            found[record.split].add(record.path)
        sizes = [len(paths) for paths in found.values()]
        published = [c.images for c in counts.values()]
        if sizes != published:
            self._warn(
                f'the splits by identity of "{self.source}" have {sizes} '
                f'images, published are {published}; use reid_raw.json, '
                'which names the splits'
            )
