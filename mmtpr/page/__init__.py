"""A page on which people search a gallery."""

from .gallery_images import GalleryImages
from .guard import PageGuard
from .layout import build_page
from .page_search import FoundPage, PageSearch
from .photos import Reference, check_photo
from .server import is_local, read_login, served_page
from .votes import VoteFile

__all__ = [
    'FoundPage',
    'GalleryImages',
    'PageGuard',
    'PageSearch',
    'Reference',
    'VoteFile',
    'build_page',
    'check_photo',
    'is_local',
    'read_login',
    'served_page',
]
