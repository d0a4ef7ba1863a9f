"""Programming interfaces for using a trained retriever."""

from .gallery_files import list_images
from .gallery_index import GalleryIndex
from .gallery_update import GalleryUpdate, load_embedder, update_gallery
from .person_retrieval_inferencer import PersonRetrievalInferencer

__all__ = [
    'GalleryIndex',
    'GalleryUpdate',
    'PersonRetrievalInferencer',
    'list_images',
    'load_embedder',
    'update_gallery',
]
