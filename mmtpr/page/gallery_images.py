"""Images of a gallery that a page may show."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from mmtpr.gallery import GalleryStore
from mmtpr.utils.images import file_problem
from mmtpr.visualization.small_images import read_small

#: Pixels that an image may take, drawn at half the size on fine screens.
THUMBNAIL = (256, 512)


class GalleryImages:
    """Images of a store, by id: of its folders, and of no other place.

    What is not in the store has no id. What is in it but really lies in
    another folder, such as a link that leads out of the gallery, is refused.
    Files are decoded, and what is shown is encoded anew: whatever else a file
    holds does not leave the machine.

    Args:
        store (GalleryStore): The gallery.
        folders (Sequence[str | PathLike], optional): Where images may lie.
            Defaults to None: an image in the folder that its path starts
            with, where its path ends with its id, as
            :func:`mmtpr.apis.update_gallery` leaves it.

    Raises:
        FileNotFoundError: If a folder does not exist.
    """

    def __init__(
        self,
        store: GalleryStore,
        folders: Sequence[str | os.PathLike] | None = None,
    ) -> None:
        self.store = store
        for folder in folders or ():
            if not Path(folder).is_dir():
                raise FileNotFoundError(
                    f'"{folder}" is not a folder of images.'
                )
        self.folders = (
            None if folders is None else [*map(os.path.realpath, folders)]
        )

    def path(self, name: str) -> str:
        """Find the file of an image.

        Args:
            name (str): Its id.

        Returns:
            str: The real path of the file.

        Raises:
            ValueError: If there is no such image, or it must not be shown.
        """
        try:
            (path,) = self.store.columns([name])['path']
        except ValueError:
            raise ValueError(
                f'There is no image {_told(str(name))} in the gallery.'
            ) from None
        if '://' in path:
            raise ValueError(
                f'The image {_told(name)} is not a file of this machine: only '
                'those are shown.'
            )
        real = os.path.realpath(path)
        homes = self.folders
        if homes is None:
            homes = [os.path.realpath(home) for home in _homes(name, path)]
        if not any(_is_below(real, home) for home in homes):
            raise ValueError(
                f'The image {_told(name)} lies outside of the folder of the '
                'gallery and is not shown. Who runs the page can allow other '
                'folders.'
            )
        if problem := file_problem(real):
            raise ValueError(f'The image {_told(name)} is {problem}.')
        return real

    def thumbnail(
        self, name: str, size: tuple[int, int] = THUMBNAIL
    ) -> Image.Image:
        """Read an image, small.

        Args:
            name (str): Its id.
            size (tuple[int, int]): Width and height to fit into. Defaults to
                (256, 512).

        Returns:
            Image: RGB.

        Raises:
            ValueError: If it must not be shown, or cannot be read.
        """
        image = read_small(self.path(name), size)
        if image is None:
            raise ValueError(f'The image {_told(name)} cannot be read.')
        return image


def _homes(name: str, path: str) -> list[str]:
    """The folder whose path and an id make a path."""
    end = f'/{name}'
    if not path.replace(os.sep, '/').endswith(end):
        return []
    return [path[: -len(end)] or os.sep]


def _is_below(path: str, folder: str) -> bool:
    try:
        return os.path.commonpath([path, folder]) == folder
    except ValueError:  # other drives
        return False


def _told(name: str) -> str:
    """An id for a message, of which a stranger may have chosen the length."""
    return f'"{name if len(name) <= 80 else f"{name[:77]}..."}"'
