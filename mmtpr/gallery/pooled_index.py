"""faiss over the pooled vectors of a segment."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmtpr.utils import atomic_write
from mmtpr.utils.lazy import require

#: Items up to which all pooled vectors are compared.
FLAT_ITEMS = 200_000
#: Vectors that train one list of an inverted file.
_TRAINED_BY = 64
#: Part of the lists that a search reads, and how many it reads at least.
_PROBED, _FEWEST_PROBED = 1 / 32, 32


@cache
def faiss() -> Any:
    """Import faiss.

    Returns:
        ModuleType: ``faiss``.

    Raises:
        ImportError: If it is not installed, naming the extra.
    """
    return require('faiss', 'search', 'A gallery store')


def write_pooled(
    path: Path, vectors: np.ndarray, flat_items: int = FLAT_ITEMS
) -> bool:
    """Write an index of vectors; the file appears whole or not at all.

    Up to ``flat_items`` all vectors are compared; above, they are 8-bit
    numbers in an inverted file of 4 * sqrt(N) lists, of which a search reads
    one of 32.

    Args:
        path (Path): The file.
        vectors (ndarray): Pooled vectors, (N, D), float32.
        flat_items (int): Defaults to 200,000.

    Returns:
        bool: Whether it compares all.

    Raises:
        LaunchError: If the disk is full.
    """
    library = faiss()
    number, dim = vectors.shape
    flat = number <= flat_items
    if flat:
        index = library.IndexFlatIP(dim)
    else:
        lists = max(1, int(4 * number**0.5))
        metric = library.METRIC_INNER_PRODUCT
        index = library.index_factory(dim, f'IVF{lists},SQ8', metric)
        rng = np.random.default_rng(0)
        size = min(number, lists * _TRAINED_BY)
        some = np.sort(rng.choice(number, size, replace=False))
        index.cp.min_points_per_centroid = 1
        index.train(vectors[some])
    index.add(vectors)
    with atomic_write(path) as file:
        library.write_index(index, library.PyCallbackIOWriter(file.write))
    return flat


class PooledIndex:
    """An index on disk, mapped into memory.

    Args:
        path (Path): File of :func:`write_pooled`.
        flat (bool): Whether it compares all.
    """

    def __init__(self, path: Path, flat: bool) -> None:
        library = faiss()
        self.flat = flat
        flag = library.IO_FLAG_MMAP_IFC if flat else library.IO_FLAG_MMAP
        self.index = library.read_index(str(path), flag)

    def __len__(self) -> int:
        return self.index.ntotal

    @property
    def dim(self) -> int:
        """Numbers D of a vector.

        Returns:
            int: D.
        """
        return self.index.d

    def vectors(self) -> np.ndarray:
        """Show the vectors of a flat index where they lie.

        Returns:
            ndarray: Of shape (N, D), float32, to be read only.
        """
        library = faiss()
        flat = library.downcast_index(self.index)
        shown = library.rev_swig_ptr(flat.get_xb(), len(self) * self.dim)
        shown = shown.reshape(len(self), self.dim)
        shown.flags.writeable = False
        return shown

    def nearest(
        self, query: np.ndarray, num: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the vectors of the largest products.

        Args:
            query (ndarray): Of shape (Q, D), float32.
            num (int): How many K.
            allowed (ndarray, optional): True for those that may be found,
                (N, ). None for all.

        Returns:
            tuple[ndarray, ndarray]: Products and rows, both (Q, K), largest
            first; the row is -1 where there are no more.
        """
        library = faiss()
        given: dict[str, Any] = {}
        part = 1.0
        if allowed is not None:
            bits = np.packbits(allowed, bitorder='little')
            given['sel'] = library.IDSelectorBitmap(bits)
            part = max(1, int(allowed.sum())) / len(allowed)
        if self.flat:
            params = library.SearchParameters(**given) if given else None
        else:
            # The fewer are allowed, the more lists hold as many of them.
            lists = self.index.nlist
            wanted = max(_FEWEST_PROBED, lists * _PROBED) / part
            probed = min(lists, int(wanted))
            params = library.SearchParametersIVF(nprobe=probed, **given)
        num = min(num, len(self))
        return self.index.search(query, num, params=params)
