"""Base of the datasets of composed retrieval."""

import logging
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

from mmengine.logging import print_log

from mmtpr.structures.image_paths import image_paths
from mmtpr.utils.images import missing_cure

from .annotations.composed_records import (
    COMPOSED_GUIDE,
    iter_composed_records,
)
from .annotations.images import find_bad_images, find_missing_images
from .annotations.records import iter_records
from .frugal_dataset import FrugalDataset, image_prefix


class ComposedDataset(FrugalDataset):
    """Records of images and sentences, checked, with what was left out.

    ``load_report`` names by argument what was left out while loading, and
    ``choices`` holds the ``'error'`` or ``'skip'`` of each.

    Args:
        choices (dict[str, str]): Value of each argument that is ``'error'``
            or ``'skip'``; ``broken_images`` and ``empty_captions`` at least.
        missing_images (str, optional): ``'error'`` or ``'skip'`` looks while
            loading whether every image exists, without opening any, and
            stops or leaves records out and counts. None does not look.
            Defaults to None.
        data_prefix (dict, optional): Image folder, relative to the data
            root. Defaults to the data root.
        **kwargs: Further arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: If a choice is neither.
    """

    lists_full_paths = True

    def __init__(
        self,
        choices: dict[str, str],
        data_prefix: dict | None = None,
        missing_images: str | None = None,
        **kwargs,
    ) -> None:
        every: dict[str, Any] = {'missing_images': missing_images, **choices}
        for name, choice in every.items():
            none = ', or None' if name == 'missing_images' else ''
            if choice not in ('error', 'skip') and (choice or not none):
                raise ValueError(
                    f'{name}={choice!r} of {type(self).__name__} must be '
                    f"'error' or 'skip'{none}."
                )
        self.choices = every
        self.load_report: dict[str, list] = {name: [] for name in every}
        super().__init__(data_prefix=image_prefix(data_prefix, ''), **kwargs)

    def read_checked(
        self,
        path: str,
        required: dict[str, type],
        captions: tuple[str, ...] = (),
        what: str = 'annotation file',
        argument: str = 'ann_file',
        several: tuple[str, ...] = (),
    ) -> list[dict]:
        """Read a file and leave out records that say nothing.

        Args:
            path (str): The file.
            required (dict[str, type]): Type of each key a record must have.
            captions (tuple[str, ...]): Keys that hold a caption.
            what (str): What the file is, for the message if it is absent.
            argument (str): What names the file in a config, likewise.
            several (tuple[str, ...]): Keys that may hold a list of paths.

        Returns:
            list[dict]: The records.
        """
        skipped: list[int] = []
        records = self.iter_checked(
            path, required, captions, what, argument, skipped, several
        )
        kept = list(records)
        self.report_skipped(path, skipped)
        return kept

    def iter_checked(
        self,
        path: str,
        required: dict[str, type],
        captions: tuple[str, ...],
        what: str,
        argument: str,
        skipped: list[int],
        several: tuple[str, ...] = (),
    ) -> Iterator[dict]:
        """Read a file as :meth:`read_checked`, one record after the other.

        Args:
            path (str): See :meth:`read_checked`.
            required (dict[str, type]): Likewise.
            captions (tuple[str, ...]): Likewise.
            what (str): Likewise.
            argument (str): Likewise.
            skipped (list[int]): Takes the indices of what is left out.
            several (tuple[str, ...]): See :meth:`read_checked`.

        Returns:
            Iterator[dict]: The records.
        """
        return iter_composed_records(
            iter_records(path, what, COMPOSED_GUIDE, argument),
            required,
            path,
            captions,
            self.choices['empty_captions'],
            skipped,
            several,
        )

    def report_skipped(self, path: str, skipped: list[int]) -> None:
        """Say which records have no sentence.

        Args:
            path (str): The file.
            skipped (list[int]): Their indices.
        """
        self.report(
            'empty_captions', skipped, f'records of "{path}" without sentence'
        )

    def drop_broken(
        self, records: list[dict], keys: Sequence[str]
    ) -> list[dict]:
        """Leave out records with an image that is missing or broken.

        Args:
            records (list[dict]): The records.
            keys (Sequence[str]): Keys of a record's images.

        Returns:
            list[dict]: All of them unless ``missing_images`` or
            ``broken_images`` is ``'skip'``.

        Raises:
            FileNotFoundError: If ``missing_images`` is ``'error'`` and an
                image does not exist.
        """
        if self.choices['missing_images']:
            missing = find_missing_images(self._paths(records, keys))
            if missing and self.choices['missing_images'] == 'error':
                cure = missing_cure(
                    missing[0],
                    'Check data_root and data_prefix, or set '
                    'missing_images="skip"',
                )
                raise FileNotFoundError(
                    f'{len(missing)} images of {type(self).__name__} do '
                    f'not exist, first "{missing[0]}". {cure} See '
                    f'{COMPOSED_GUIDE}.'
                )
            self.report('missing_images', missing, 'missing images')
            records = self._without(records, keys, missing)
        if self.choices['broken_images'] == 'skip':
            bad = find_bad_images(self._paths(records, keys))
            self.report('broken_images', [*bad], 'broken images')
            records = self._without(records, keys, bad)
        return records

    def _paths(self, records: list[dict], keys: Sequence[str]) -> list[str]:
        return [
            self.image_path(path)
            for record in records
            for key in keys
            for path in image_paths(record[key])
        ]

    def _without(
        self, records: list[dict], keys: Sequence[str], paths: Iterable[str]
    ) -> list[dict]:
        bad = set(paths)
        if not bad:
            return records
        return [
            record
            for record in records
            if bad.isdisjoint(self._paths([record], keys))
        ]

    def check_some_left(self, records: Sized, what: str, path: str) -> None:
        """Check that not everything was left out.

        Args:
            records (Sized): What is left.
            what (str): What a record is, for the message.
            path (str): The file, likewise.

        Raises:
            ValueError: If nothing is left, naming why.
        """
        if len(records):
            return
        reasons = ', '.join(k for k, v in self.load_report.items() if v)
        raise ValueError(
            f'No {what} of "{path}" is left: all were dropped for missing '
            f'captions, targets or images ({reasons}). See '
            f'{COMPOSED_GUIDE}.'
        )

    def report(
        self, name: str, found: list, what: str, verb: str = 'left out '
    ) -> None:
        """Keep what was found in ``load_report`` and say how many.

        Args:
            name (str): Its key there.
            found (list): What was found.
            what (str): What that is, for the log.
            verb (str): What happened to it. Defaults to ``'left out '``.
        """
        self.load_report.setdefault(name, []).extend(found)
        if found:
            print_log(
                f'{type(self).__name__}: {verb}{len(found)} {what}, first '
                f'{found[0]}',
                logger='current',
                level=logging.WARNING,
            )
