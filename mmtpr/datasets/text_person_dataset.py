"""Base of the datasets of captioned pedestrians."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from mmtpr.utils.images import MISSING, missing_cure, read_remote
from mmtpr.utils.warn import warn

from .annotations.images import find_bad_images
from .annotations.numbered import lost_captions
from .annotations.records import (
    GUIDE,
    LAYOUTS,
    PersonRecord,
    detect_layout,
    parse_records,
    read_records,
)
from .annotations.samples import queries_and_gallery, training_pairs
from .annotations.splits import SPLITS, carve_val, take_split
from .frugal_dataset import FrugalDataset, drain, image_prefix

_CHOICES = {
    'split': SPLITS,
    'form': ('pairs', 'retrieval', None),
    'broken_images': ('error', 'skip'),
    'empty_captions': ('error', 'skip'),
}


class TextPersonDataset(FrugalDataset):
    """Captioned pedestrians: pairs to train on, queries and gallery to test.

    In the form ``'pairs'`` a sample is one image with one of its captions:
    ``dict(role='train', img_path, caption, pid, image_id)``. In the form
    ``'retrieval'`` the captions come first as
    ``dict(role='query', caption, pid, image_id)``, then the images as
    ``dict(role='gallery', img_path, pid, image_id)``. ``image_id`` numbers
    the images of the split; a query has that of the image it was written
    for.

    ``metainfo`` says ``dataset_name``, ``split``, ``num_pids``,
    ``num_images`` and ``num_captions``; ``load_report`` names what was left
    out while loading.

    Args:
        ann_file (str): Annotation file, relative to ``data_root``.
        data_root (str): Folder of the dataset. Defaults to ''.
        data_prefix (dict): Image folder, relative to ``data_root``. Defaults
            to ``dict(img_path='imgs')``.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        layout (str, optional): Format of the file, one of ``layouts``; by
            default told from the keys of its first record.
        form (str, optional): ``'pairs'`` or ``'retrieval'``. Defaults to
            pairs for train and retrieval for val and test; set it to
            evaluate on training persons.
        relabel_pids (bool, optional): Whether identities become 0..C-1, as
            an identity loss needs. Defaults to True for pairs.
        pid_offset (int): Added to all identities, to keep datasets that are
            joined apart. Defaults to 0.
        val_pids (int): Training identities set aside as val, for files
            without val split. Give the same number to the train and the val
            dataset. Defaults to 0.
        broken_images (str): ``'skip'`` decodes every image while loading,
            and drops and counts the bad ones; ``'error'`` leaves it to the
            pipeline to name the first one met. Defaults to ``'error'``.
        empty_captions (str): ``'error'`` or ``'skip'`` and count. Defaults
            to ``'error'``.
        **kwargs: Further arguments of :class:`mmengine.dataset.BaseDataset`
            (``pipeline``, ``test_mode``, ``indices``, ``lazy_init``, ...).

    Raises:
        FileNotFoundError: If the annotation file or image folder is absent.
        ValueError: Naming file, record and key of malformed annotations.
    """

    #: Formats the annotation file may have, most demanding first.
    layouts: tuple[str, ...] = tuple(LAYOUTS)

    def __init__(
        self,
        ann_file: str = '',
        data_root: str = '',
        data_prefix: dict | None = None,
        split: str = 'train',
        layout: str | None = None,
        form: str | None = None,
        relabel_pids: bool | None = None,
        pid_offset: int = 0,
        val_pids: int = 0,
        broken_images: str = 'error',
        empty_captions: str = 'error',
        **kwargs,
    ) -> None:
        self.split, self.layout = split, layout
        self.form, self.broken_images = form, broken_images
        self.empty_captions = empty_captions
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f'{name}={getattr(self, name)!r} of '
                    f'{type(self).__name__} must be one of {choices}.'
                )
        if layout is not None and layout not in self.layouts:
            raise ValueError(
                f'layout={layout!r} of {type(self).__name__} must be one of '
                f'{self.layouts}.'
            )
        self.form = form or ('pairs' if split == 'train' else 'retrieval')
        pairs = self.form == 'pairs'
        self.relabel_pids = pairs if relabel_pids is None else relabel_pids
        self.pid_offset, self.val_pids = pid_offset, val_pids
        self._file_pids: dict[int, int | str] | None = None
        self.load_report: dict[str, Any] = dict(
            broken_images={}, empty_captions=[]
        )
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=image_prefix(data_prefix, 'imgs'),
            **kwargs,
        )

    def load_samples(self) -> Iterable[dict]:
        """Read the annotations of the split.

        Returns:
            Iterable[dict]: Samples, with paths relative to the image folder
            and attributes as bytes; ``get_data_info`` completes them.
        """
        return self._samples_of(self.load_records())

    def _samples_of(self, records: list[PersonRecord]) -> Iterable[dict]:
        """Number and describe the records of the split; empties the list."""
        self._report_lost()
        self.check_image_root(records[0].path)
        image_ids: dict[str, int] = {}
        for record in records:
            image_ids.setdefault(record.path, len(image_ids))
        records = self._drop_broken(records)
        self._number_pids(records)
        self._describe(
            {r.pid for r in records},
            num_images=len({(r.pid, r.path) for r in records}),
            num_captions=sum(len(r.captions) for r in records),
        )
        make = training_pairs if self.form == 'pairs' else queries_and_gallery
        return make(drain(records), image_ids)

    def load_records(self) -> list[PersonRecord]:
        """Read the records of the split as the file has them.

        Returns:
            list[PersonRecord]: At least one, identities not renumbered.
        """
        records = self._read_all()
        if self.val_pids:
            records = carve_val(records, self.val_pids, self.source)
        records = take_split(records, self.split, self.source)
        self.load_report['empty_captions'] = [
            path for record in records for path in lost_captions(record)
        ]
        return records

    def get_data_info(self, idx: int) -> dict:
        """Get one sample.

        Args:
            idx (int): Index of the sample.

        Returns:
            dict: The sample with the full path of its image.
        """
        info = super().get_data_info(idx)
        if 'attributes' in info:
            values = np.frombuffer(info['attributes'], dtype=np.int8)
            info['attributes'] = values.tolist()
        return info

    def pids(self) -> np.ndarray:
        """Identities of the split, as losses and metrics see them.

        Returns:
            ndarray: Of shape (C, ), int64, ascending.
        """
        self.full_init()
        return self._pids

    def file_pid(self, pid: int) -> Any:
        """Identity as the annotations number or name it.

        Args:
            pid (int): One of :meth:`pids`.

        Returns:
            int | str: What the file says, which is the same for all splits.
        """
        if self._file_pids is None:
            # Not kept while training: there may be millions.
            records = self._drop_broken(self.load_records())
            numbers = self._pid_numbers(records)
            self._file_pids = {new: old for old, new in numbers.items()}
        return self._file_pids.get(pid, pid)

    @property
    def source(self) -> str:
        """The annotations, for messages."""
        return str(self.ann_file)

    def _read_all(self) -> list[PersonRecord]:
        """Read the whole annotation file, each record with its split."""
        raw = read_records(self.ann_file)
        name = self.layout or detect_layout(raw[0], self.layouts, self.source)
        records = parse_records(
            raw, LAYOUTS[name], self.source, self.empty_captions
        )
        if not LAYOUTS[name].split:
            records = self._assign_splits(records, name)
        return records

    def _assign_splits(
        self, records: list[PersonRecord], layout: str
    ) -> list[PersonRecord]:
        """Name the split of a file that is one split as a whole."""
        split = 'train' if self.val_pids else self.split
        return [r._replace(split=split) for r in records]

    def check_image_root(self, first: str) -> None:
        """Check that the image folder exists.

        Args:
            first (str): An image of the annotations. If it repeats the name
                of the image folder, as processed files do, the folder above
                is used.

        Raises:
            FileNotFoundError: If there is no such folder.
        """
        root = self.data_prefix['img_path'] or '.'
        if '://' in (path := self.image_path(first)):
            read_remote(path)  # or says why not
            return
        if not os.path.isdir(root):
            raise FileNotFoundError(
                f'The image folder "{root}" of {type(self).__name__} does '
                'not exist. Check data_root and data_prefix in the config. '
                f'See {GUIDE}.'
            )
        # Paths of some processed files start with the image folder's name.
        parent, name = os.path.split(os.path.normpath(root))
        if (
            first.startswith(f'{name}/')
            and not os.path.exists(os.path.join(root, first))
            and os.path.exists(os.path.join(parent, first))
        ):
            self.data_prefix['img_path'] = parent

    def _drop_broken(self, records: list[PersonRecord]) -> list[PersonRecord]:
        if self.broken_images == 'error':
            return records
        bad = find_bad_images(self.image_path(r.path) for r in records)
        self.load_report['broken_images'] = bad
        if not bad:
            return records
        kept = [r for r in records if self.image_path(r.path) not in bad]
        names = ', '.join(f'{p} ({why})' for p, why in [*bad.items()][:3])
        self._warn(
            f'skipped {len(records) - len(kept)} of {len(records)} records '
            f'of the split "{self.split}" for broken images: {names}'
            f'{", ..." if len(bad) > 3 else ""}{self._cure(bad)}'
        )
        return kept

    @staticmethod
    def _cure(bad: dict[str, str]) -> str:
        missing = [path for path, why in bad.items() if why == MISSING]
        if not missing:
            return ''
        return '. ' + missing_cure(missing[0], 'Check data_root, data_prefix')

    def _number_pids(self, records: list[PersonRecord]) -> None:
        """Make identities integers, 0..C-1 where asked, in place."""
        number = self._pid_numbers(records)
        for index, record in enumerate(records):
            pid = number.get(record.pid)
            if pid is not None:
                records[index] = record._replace(pid=pid)

    def _pid_numbers(self, records: list[PersonRecord]) -> dict[Any, int]:
        """New numbers of identities, none if they stay."""
        pids: dict[Any, None] = {record.pid: None for record in records}
        named = any(isinstance(p, str) for p in pids)
        if self.relabel_pids or named:
            order = list(pids) if named else sorted(pids)
            return {p: i + self.pid_offset for i, p in enumerate(order)}
        if self.pid_offset:
            return {p: p + self.pid_offset for p in pids}
        return {}

    def _report_lost(self) -> None:
        if lost := self.load_report['empty_captions']:
            self._warn(
                f'skipped {len(lost)} missing or empty captions of the split '
                f'"{self.split}", first of the image "{lost[0]}"'
            )

    def _describe(
        self, pids: Iterable[Any], num_images: int, num_captions: int
    ) -> None:
        """Fill ``metainfo``; raises if there is no sample."""
        self._pids = np.array(sorted(pids), dtype=np.int64)  # (C,)
        self._metainfo.update(
            split=self.split,
            num_pids=len(self._pids),
            num_images=num_images,
            num_captions=num_captions,
        )
        if not (num_captions if self.form == 'pairs' else num_images):
            raise ValueError(
                f'No sample of the split "{self.split}" of "{self.source}" '
                'is left: all were dropped for missing captions or broken '
                'images.'
            )

    def _warn(self, message: str) -> None:
        warn(f'{type(self).__name__}: {message}')
