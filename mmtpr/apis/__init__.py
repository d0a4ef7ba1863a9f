"""Programming interfaces for using a trained retriever."""

from .gallery_files import list_images
from .gallery_index import GalleryIndex
from .person_retrieval_inferencer import PersonRetrievalInferencer

__all__ = ['GalleryIndex', 'PersonRetrievalInferencer', 'list_images']
