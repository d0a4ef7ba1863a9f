"""Reading the published annotation files into one kind of record."""

import difflib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from mmtpr.text.characters import is_empty_caption, is_nothing
from mmtpr.utils import read_json
from mmtpr.utils.io import iter_json_list

#: Names of splits.
SPLITS = ('train', 'val', 'test')
#: Page of the documentation that explains the datasets, named by errors.
GUIDE = 'docs/user_guides/data.md'


class PersonRecord(NamedTuple):
    """One image of an annotation file.

    Attributes:
        path (str): Image, relative to the image folder.
        captions (tuple[str, ...]): Its captions, may be empty where empty
            captions are skipped.
        pid (int | str): Identity as the file has it.
        split (str): ``'train'``, ``'val'``, ``'test'`` or ``''`` where the
            file does not say.
        attributes (bytes): Attributes as int8, ``b''`` without.
        lost (int): Missing or empty captions that were skipped.
    """

    path: str
    captions: tuple[str, ...]
    pid: int | str
    split: str = ''
    attributes: bytes = b''
    lost: int = 0


@dataclass(frozen=True)
class Layout:
    """Keys of one published annotation format.

    Attributes:
        path (str): Key of the image's path.
        captions (str): Key of the caption or list of captions.
        pid (str): Key of the identity.
        split (str): Key of the split, empty where the format has none.
        attributes (str): Key of an optional list of attributes.
    """

    path: str
    captions: str
    pid: str
    split: str = ''
    attributes: str = ''

    @property
    def required(self) -> tuple[str, ...]:
        """Keys every record must have; captions are judged apart."""
        return tuple(k for k in (self.path, self.pid, self.split) if k)


#: Formats by name.
LAYOUTS = {
    'reid_raw': Layout('file_path', 'captions', 'id', 'split'),
    'caption_all': Layout('file_path', 'captions', 'id'),
    'data_captions': Layout('img_path', 'captions', 'id', 'split'),
    'aptm': Layout('image', 'caption', 'image_id', attributes='label'),
}


def read_records(
    path: str,
    what: str = 'annotation file',
    guide: str = GUIDE,
    argument: str = 'ann_file',
) -> list[dict]:
    """Read a json list of objects.

    Args:
        path (str): The file.
        what (str): What it is, for messages. Defaults to 'annotation file'.
        guide (str): Page of the documentation, likewise.
        argument (str): What names the file in a config, likewise.

    Returns:
        list[dict]: The objects, at least one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not valid json, or not a list of objects.
    """
    try:
        content = read_json(path, what, guide)
    except FileNotFoundError as error:
        told = str(error).removesuffix(f' See {guide}.')
        raise FileNotFoundError(
            f'{told} Check data_root and {argument} in the config. See '
            f'{guide}.'
        ) from None
    if not isinstance(content, list):
        raise ValueError(
            f'The {what} "{path}" must be a json list of records, found '
            f'{type(content).__name__}. Check that {argument} names the '
            f'right file. See {guide}.'
        )
    if not content:
        raise ValueError(
            f'The {what} "{path}" is an empty list: get it or write it '
            f'again, with a record for each image. See {guide}.'
        )
    return content


def iter_records(
    path: str,
    what: str = 'annotation file',
    guide: str = GUIDE,
    argument: str = 'ann_file',
) -> Iterator[dict]:
    """Read a json list of objects one after the other.

    Args:
        path (str): See :func:`read_records`.
        what (str): Likewise.
        guide (str): Likewise.
        argument (str): Likewise.

    Yields:
        dict: The objects, at least one.

    Raises:
        FileNotFoundError: As :func:`read_records`.
        ValueError: Likewise.
    """
    number = 0
    try:
        for record in iter_json_list(path):
            yield record
            number += 1
    except (OSError, ValueError):
        # Read as a whole it ends with an error that says more.
        rest = read_records(path, what, guide, argument)
        yield from islice(rest, number, None)


def detect_layout(record: Any, names: Sequence[str], path: str) -> str:
    """Name the format of a file by the keys of its first record.

    Args:
        record (dict): First record of the file.
        names (Sequence[str]): Formats to choose from, most demanding first.
        path (str): The file, for messages.

    Returns:
        str: One of ``names``.

    Raises:
        ValueError: If the keys belong to none of the formats.
    """
    keys = set(record) if isinstance(record, dict) else set()
    for name in names:
        if keys.issuperset(LAYOUTS[name].required):
            return name
    expected = '; '.join(
        f'{name}: {", ".join((*layout.required, layout.captions))}'
        for name, layout in ((name, LAYOUTS[name]) for name in names)
    )
    raise ValueError(
        f'The annotation file "{path}" has none of the known layouts '
        f'({expected}). Its record 0 has the keys '
        f'{", ".join(sorted(map(str, keys))) or "(no keys)"}. See {GUIDE}.'
    )


def parse_records(
    raw: Iterable[Any],
    layout: Layout,
    path: str,
    empty_captions: str = 'error',
) -> list[PersonRecord]:
    """Check records and bring them into one form.

    Args:
        raw (Iterable[dict]): Records of the file.
        layout (Layout): Its keys.
        path (str): The file, for messages.
        empty_captions (str): ``'error'`` or ``'skip'``: what becomes of a
            record without caption and of a caption without a visible
            character. A skipped caption leaves its image in the gallery.

    Returns:
        list[PersonRecord]: The records, each with the number of captions it
        lost.

    Raises:
        ValueError: Naming file, record index and key of what is wrong.
    """
    records = []
    for index, item in enumerate(raw):
        where = f'Record {index} of "{path}"'
        _check_record(item, layout, where)
        captions, lost = _captions(item, layout, where, empty_captions)
        records.append(
            PersonRecord(
                item[layout.path],
                captions,
                _identity(item[layout.pid]),
                _split(item[layout.split], where) if layout.split else '',
                _attributes(item, layout, where),
                lost,
            )
        )
    return records


def _check_record(item: Any, layout: Layout, where: str) -> None:
    if not isinstance(item, dict):
        raise ValueError(
            f'{where} must be an object, found {type(item).__name__}. '
            f'See {GUIDE}.'
        )
    for key in layout.required:
        if key not in item:
            raise ValueError(
                f'{where} has no key "{key}". It has '
                f'{", ".join(sorted(map(str, item)))}. See {GUIDE}.'
            )
    if not isinstance(item[layout.path], str) or not item[layout.path]:
        raise _wrong(where, layout.path, 'a file name', item[layout.path])
    pid = item[layout.pid]
    if not isinstance(pid, (int, str)) or isinstance(pid, bool):
        raise _wrong(where, layout.pid, 'an identity', pid)
    if isinstance(pid, str) and pid != pid.strip():
        raise _wrong(where, layout.pid, 'an identity without spaces', pid)
    if pid == '' or abs(_identity(pid) if _is_number(pid) else 0) >= 1 << 62:
        raise _wrong(where, layout.pid, 'an identity', pid)
    if layout.split and not isinstance(item[layout.split], str):
        raise _wrong(where, layout.split, 'a split', item[layout.split])


def _is_number(pid: int | str) -> bool:
    return isinstance(pid, int) or (pid.isascii() and pid.isdecimal())


def _identity(pid: Any) -> Any:
    """A number where it is written as one."""
    return int(pid) if _is_number(pid) else pid


def _split(name: str, where: str) -> str:
    """One of :data:`SPLITS`, whatever its case; "valid" is val."""
    plain = name.strip().lower()
    plain = 'val' if plain in ('valid', 'validation') else plain
    if plain not in SPLITS:
        near = difflib.get_close_matches(plain, SPLITS, 1)
        raise ValueError(
            f'{where} is of the split "{name}", but there are '
            f'{", ".join(SPLITS)}{f" (meant: {near[0]}?)" if near else ""}. '
            f'Correct this record, or remove it. See {GUIDE}.'
        )
    return plain


def _captions(
    item: dict, layout: Layout, where: str, empty: str
) -> tuple[tuple[str, ...], int]:
    captions = item.get(layout.captions)
    other = 'caption' if layout.captions == 'captions' else 'captions'
    if layout.captions not in item and other in item:
        raise ValueError(
            f'{where} has the key "{other}" where the layout has '
            f'"{layout.captions}": rename it. See {GUIDE}.'
        )
    captions = None if is_nothing(captions) else captions
    if isinstance(captions, str):
        captions = [captions]
    if captions is not None and not isinstance(captions, list):
        raise _wrong(where, layout.captions, 'captions', captions)
    for caption in captions or ():
        if not isinstance(caption, str) and not is_nothing(caption):
            raise _wrong(where, layout.captions, 'captions', caption)
    kept = tuple(c for c in captions or () if not is_empty_caption(c))
    lost = max(1, len(captions or ())) - len(kept)
    if lost and empty == 'error':
        raise ValueError(
            f'{where} has {"no caption" if not kept else "an empty caption"}'
            f' under the key "{layout.captions}" (image '
            f'"{item[layout.path]}"). Correct the file, or set '
            f'empty_captions="skip". See {GUIDE}.'
        )
    return kept, lost


def _attributes(item: dict, layout: Layout, where: str) -> bytes:
    values = item.get(layout.attributes) if layout.attributes else None
    if values is None:
        return b''
    try:
        return array('b', values).tobytes()
    except (TypeError, OverflowError):
        raise _wrong(
            where, layout.attributes, 'a list of small integers', values
        ) from None


def _wrong(where: str, key: str, expected: str, found: Any) -> ValueError:
    return ValueError(
        f'{where}: the key "{key}" must hold {expected}, found '
        f'{type(found).__name__} {str(found)[:40]!r}. Correct this record. '
        f'See {GUIDE}.'
    )
