"""Files of figures."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mmtpr.utils import atomic_write

if TYPE_CHECKING:  # it takes a while
    from matplotlib.figure import Figure


def save_figure(
    path: str | os.PathLike, figure: 'Figure', dpi: int = 120
) -> None:
    """Write a figure; the file appears whole or not at all.

    Args:
        path (str | PathLike): The file; its ending says the format.
        figure (Figure): The figure.
        dpi (int): Pixels an inch. Defaults to 120.
    """
    with atomic_write(path) as file:
        kind = Path(path).suffix.lower()[1:]
        figure.savefig(file, format=kind, dpi=dpi)
