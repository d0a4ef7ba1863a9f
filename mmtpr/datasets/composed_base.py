"""What the data sets of composed retrieval share."""

import logging
import os
from collections.abc import Sequence

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from .annotations import read_records
from .composed_records import check_composed_records
from .image_check import find_bad_images


class ComposedDataset(BaseDataset):
    """Records of pictures and sentences, checked, with what was left out.

    ``load_report`` names by argument what was left out while loading, and
    ``choices`` holds the ``'error'`` or ``'skip'`` of each.

    Args:
        choices (dict[str, str]): Value of each argument that is ``'error'``
            or ``'skip'``; ``broken_images`` and ``empty_captions`` at least.
        data_prefix (dict, optional): Image folder, relative to the data
            root. Defaults to the data root.
        **kwargs: Further arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: If a choice is neither.
    """

    def __init__(
        self,
        choices: dict[str, str],
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        for name, choice in choices.items():
            if choice not in ('error', 'skip'):
                raise ValueError(
                    f'{name}={choice!r} of {type(self).__name__} must be '
                    "'error' or 'skip'."
                )
        self.choices = choices
        self.load_report: dict[str, list] = {name: [] for name in choices}
        super().__init__(
            data_prefix={'img_path': '', **(data_prefix or {})}, **kwargs
        )

    def image_path(self, path: str) -> str:
        """Path of a picture.

        Args:
            path (str): As the annotations have it.

        Returns:
            str: With the image folder in front.
        """
        return os.path.join(self.data_prefix['img_path'], path)

    def read_checked(
        self,
        path: str,
        required: dict[str, type],
        captions: tuple[str, ...] = (),
        what: str = 'annotation file',
    ) -> list[dict]:
        """Read a file and leave out records that say nothing.

        Args:
            path (str): The file.
            required (dict[str, type]): Type of each key a record must have.
            captions (tuple[str, ...]): Keys that hold a caption.
            what (str): What the file is, for the message if it is absent.

        Returns:
            list[dict]: The records.
        """
        records, skipped = check_composed_records(
            read_records(path, what),
            required,
            path,
            captions,
            self.choices['empty_captions'],
        )
        self.report(
            'empty_captions', skipped, f'records of "{path}" without sentence'
        )
        return records

    def drop_broken(
        self, records: list[dict], keys: Sequence[str]
    ) -> list[dict]:
        """Leave out records with a picture that does not decode.

        Args:
            records (list[dict]): The records.
            keys (Sequence[str]): Keys of a record's pictures.

        Returns:
            list[dict]: All of them unless ``broken_images`` is ``'skip'``.
        """
        if self.choices['broken_images'] == 'error':
            return records
        bad = find_bad_images(
            self.image_path(record[key]) for record in records for key in keys
        )
        self.report('broken_images', [*bad], 'broken pictures')
        return [
            record
            for record in records
            if not any(self.image_path(record[key]) in bad for key in keys)
        ]

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
