"""Programming interfaces for using a trained retriever."""

from .gallery_index import GalleryIndex, list_images
from .person_retrieval_inferencer import PersonRetrievalInferencer

__all__ = ['GalleryIndex', 'PersonRetrievalInferencer', 'list_images']
