"""Images packed into few large files, read by their paths."""

from .lmdb_images import LmdbImages
from .locate import PACKED_SCHEMES, check_packed, join_packed
from .tar_images import TarImages
from .tar_index import index_shards
from .write import pack_lmdb, pack_tar

__all__ = [
    'PACKED_SCHEMES',
    'LmdbImages',
    'TarImages',
    'check_packed',
    'index_shards',
    'join_packed',
    'pack_lmdb',
    'pack_tar',
]
