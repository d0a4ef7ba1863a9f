"""MALS."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mmtpr.registry import DATASETS

from .annotations.numbered import NumberedRecords, lost_captions
from .annotations.records import (
    GUIDE,
    LAYOUTS,
    PersonRecord,
    detect_layout,
    parse_records,
    read_records,
)
from .annotations.samples import training_pairs
from .frugal_dataset import drain
from .text_person_dataset import TextPersonDataset


@DATASETS.register_module()
class MALS(TextPersonDataset):
    """MALS (Yang et al., MM 2023): 1.51 M synthetic pairs, 27 attributes.

    The annotations are many json files (shards):

    .. code-block:: none

        gene_attrs/g_4x_attrs.json
        gene_attrs/g_c_g_a_0_attrs.json
            [{"image": "gene_crop/c_g_a_0/0.jpg", "caption": "a boy ...",
              "image_id": "c_g_a_0_0", "label": [1, 0, ..., -1]}, ...]
        ...

    Every image is an identity of its own (``image_id``). The attributes
    are kept as ``attributes`` (list[int]; -1 is unknown). Samples are kept
    pickled, about 300 bytes each, and shards are read one after the other:
    pairs whose identities are names are pickled before the next shard is
    read. ``val_pids``, ``broken_images='skip'``, the form ``'retrieval'``
    and identities that are numbers need the records of all shards at once.

    Args:
        ann_file (str | Sequence[str]): Folder of the shards, glob pattern,
            file, or a list of these, relative to ``data_root``. Defaults to
            ``'gene_attrs'``.
        data_prefix (dict, optional): Folder that the ``image`` keys are
            relative to. Defaults to the data root.
        **kwargs: Arguments of :class:`TextPersonDataset`.
    """

    METAINFO = dict(dataset_name='MALS')
    layouts = ('aptm',)
    ann_file: Any

    def __init__(
        self,
        ann_file: str | Sequence[str] = 'gene_attrs',
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        entries: Any = ann_file  # the base class knows one file
        super().__init__(
            ann_file=entries,
            data_prefix={'img_path': '', **(data_prefix or {})},
            **kwargs,
        )

    def shards(self) -> list[str]:
        """List the annotation files in a fixed order.

        Returns:
            list[str]: Paths; a file that is named twice, in whatever way, is
            listed once, and the log says so.

        Raises:
            FileNotFoundError: If a folder or pattern has no json file.
        """
        paths: dict[str, str] = {}
        again = []
        for entry in self.ann_file:
            found = _expand(entry)
            if not found:
                raise FileNotFoundError(
                    f'No MALS annotation file matches "{entry}". Check '
                    f'data_root and ann_file in the config. See {GUIDE}.'
                )
            for path in found:
                first = paths.setdefault(os.path.realpath(path), path)
                again += [] if first is path else [path]
        if again:
            self._warn(
                f'files that ann_file names more than once: {len(again)}, '
                f'first "{again[0]}"; each is read once'
            )
        return list(paths.values())

    @property
    def source(self) -> str:
        """The annotations, for messages."""
        more = len(self.ann_file) - 1
        return self.ann_file[0] + (f' and {more} more' if more else '')

    def _join_prefix(self) -> None:
        entries = self.ann_file
        entries = [entries] if isinstance(entries, str) else list(entries)
        self.ann_file = ''
        super()._join_prefix()
        self.ann_file = [
            os.path.join(self.data_root or '', entry) for entry in entries
        ]

    def load_samples(self) -> Iterable[dict]:
        """Read the annotations of the split.

        Returns:
            Iterable[dict]: See :class:`TextPersonDataset`; the numbers of
            ``metainfo`` are there once all were taken.
        """
        kind = type(self)
        if (
            self.form != 'pairs'
            or self.val_pids
            or self.broken_images == 'skip'
            # A subclass that looks at the records has to see all.
            or kind.load_records is not TextPersonDataset.load_records
            or kind._read_all is not MALS._read_all
        ):
            return super().load_samples()
        return self._stream()

    def _stream(self) -> Iterator[dict]:
        """Make the pairs of a shard before the next one is read."""
        numbered = NumberedRecords(self.pid_offset)
        held: list[PersonRecord] = []
        for shard in self._read_shards():
            held += shard
            # Numbers would be sorted, names are in the order they come.
            if numbered.pids or any(isinstance(r.pid, str) for r in shard):
                numbered.renumber(held)
                yield from training_pairs(drain(held), numbered.image_ids)
        if not numbered.pids:
            numbered.lost = [p for r in held for p in lost_captions(r)]
        self.load_report['empty_captions'] = numbered.lost
        if not numbered.pids:
            yield from self._samples_of(held)
            return
        self._report_lost()
        self.check_image_root(next(iter(numbered.image_ids)))
        self._describe(
            numbered.pids.values(), numbered.num_images, numbered.num_captions
        )

    def _read_all(self) -> list[PersonRecord]:
        return [record for shard in self._read_shards() for record in shard]

    def _read_shards(self) -> Iterator[list[PersonRecord]]:
        width = None
        for path in self.shards():
            raw = read_records(path, 'MALS annotation file')
            detect_layout(raw[0], self.layouts, path)
            shard = parse_records(
                drain(raw), LAYOUTS['aptm'], path, self.empty_captions
            )
            width = self._check_attributes(shard, width, path)
            yield self._assign_splits(shard, 'aptm')
        self._metainfo['num_attributes'] = width

    def _check_attributes(
        self, shard: list[PersonRecord], width: int | None, path: str
    ) -> int:
        width = len(shard[0].attributes) if width is None else width
        for index, record in enumerate(shard):
            if len(record.attributes) != width:
                raise ValueError(
                    f'Record {index} of "{path}" has '
                    f'{len(record.attributes)} attributes under the key '
                    f'"label", the records before it have {width}. '
                    f'See {GUIDE}.'
                )
        return width


def _expand(entry: str) -> list[str]:
    if os.path.isdir(entry):
        return sorted(
            glob.glob(os.path.join(glob.escape(entry), 'g_*.json'))
        ) or sorted(glob.glob(os.path.join(glob.escape(entry), '*.json')))
    if os.path.exists(entry):
        return [entry]
    return sorted(glob.glob(entry))
