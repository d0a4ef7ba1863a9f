"""The folder of an exported model: its card, and the check of its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtpr.gallery.identity import ModelIdentity
from mmtpr.gallery.manifest import file_checksum
from mmtpr.utils.io import read_json

from .portable_config import open_tokenizers

#: Name of the card, by which such a folder is told.
CARD = 'model.json'
KIND = 'mmtpr onnx'
#: Version of the layout; a newer one is refused.
VERSION = 1


@dataclass
class OnnxFolder:
    """An exported model on disk.

    Attributes:
        folder (Path): The folder.
        card (dict): The content of its card.
        identity (ModelIdentity): Of the torch model it was made of. The gate
            holds its vectors to those, so that galleries may be of either.
        config (dict): Pipeline of the test data, evaluator and default scope,
            in the places of a whole config, with whole paths.
    """

    folder: Path
    card: dict[str, Any]
    identity: ModelIdentity
    config: dict[str, Any]


def is_onnx_folder(path: Any) -> bool:
    """Tell whether a path is the folder of an exported model.

    Args:
        path (Any): Such as what a user gave in place of a config.

    Returns:
        bool: True if it has a card of this kind.
    """
    return has_kind(path, CARD, KIND)


def has_kind(folder: Any, name: str, kind: str) -> bool:
    """Tell whether a folder has a json file of a kind.

    Args:
        folder (Any): Path of the folder, or anything else.
        name (str): Name of the file.
        kind (str): What the file says of itself.

    Returns:
        bool: True if it has.
    """
    if not isinstance(folder, str | Path) or not Path(folder, name).is_file():
        return False
    data = read_json(Path(folder, name))
    return isinstance(data, dict) and data.get('kind') == kind


def check_parts(card: Any, path: Path, **kinds: type) -> None:
    """Check that a json file has its parts.

    Args:
        card (Any): What it holds.
        path (Path): The file.
        **kinds (type): What its parts are, by name.

    Raises:
        ValueError: If it has not.
    """
    wrong = [
        name
        for name, kind in kinds.items()
        if not isinstance(card, dict) or not isinstance(card.get(name), kind)
    ]
    if wrong:
        raise ValueError(
            f'"{path}" has no {" and no ".join(wrong)} as mmtpr writes it: it '
            'is damaged or was changed. Copy it again.'
        )


def read_onnx_folder(folder: str | Path) -> OnnxFolder:
    """Read the card of an exported model and check its files.

    Args:
        folder (str | Path): The folder.

    Returns:
        OnnxFolder: The model on disk.

    Raises:
        FileNotFoundError: If there is no card.
        ValueError: If a file is absent or changed, or the layout is newer
            than this mmtpr.
    """
    folder = Path(folder)
    card = read_json(folder / CARD, 'card')
    check_parts(card, folder / CARD, version=int)
    if card['version'] > VERSION:
        raise ValueError(
            f'The export "{folder}" has layout {card["version"]}, and this '
            f'mmtpr reads up to {VERSION}: update mmtpr, or export again.'
        )
    names = ('files', 'identity', 'config', 'towers', 'image', 'text')
    check_parts(card, folder / CARD, **dict.fromkeys(names, dict))
    unlisted = [
        f'{name}.onnx'
        for name in card['towers']
        if f'{name}.onnx' not in card['files']
    ]
    foreign = [name for name in card['files'] if Path(name).name != name]
    if unlisted or foreign:
        raise ValueError(
            f'The card of "{folder}" does not list its own files, e.g. '
            f'"{[*unlisted, *foreign][0]}": it was changed. Export again.'
        )
    for name, known in card['files'].items():
        _check_file(folder, name, known)
    return OnnxFolder(
        folder,
        card,
        ModelIdentity.from_dict(card['identity']),
        open_tokenizers(card['config'], folder),
    )


def file_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Collect size and checksum of all files of a folder.

    Args:
        folder (Path): The folder.

    Returns:
        dict[str, dict]: ``bytes`` and ``blake2b`` by name.
    """
    return {
        path.name: dict(bytes=path.stat().st_size, blake2b=file_checksum(path))
        for path in sorted(folder.iterdir())
        if path.suffix in ('.onnx', '.data', '.json')
    }


def _check_file(folder: Path, name: str, known: dict[str, Any]) -> None:
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise ValueError(
            f'The export "{folder}" has no file "{name}", which its card '
            'names. Copy the whole folder again, or export again.'
        )
    size = path.stat().st_size
    if size != known['bytes'] or file_checksum(path) != known['blake2b']:
        raise ValueError(
            f'The file "{path}" is not the one that was exported ({size:,} '
            f'bytes, {known["bytes"]:,} then): it is damaged or was changed. '
            'Copy it again, or export again.'
        )
