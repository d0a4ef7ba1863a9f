"""Programming interfaces for using a trained retriever."""

from .column_table import ColumnTable
from .gallery_files import list_images
from .gallery_index import GalleryIndex
from .gallery_searcher import GallerySearcher, SearchResult
from .gallery_update import GalleryUpdate, load_embedder, update_gallery
from .loaded_retriever import LoadedRetriever, load_retriever
from .model_source import build_source, read_source
from .paraphrases import paraphrases_of
from .person_retrieval_inferencer import PersonRetrievalInferencer

__all__ = [
    'ColumnTable',
    'GalleryIndex',
    'GallerySearcher',
    'GalleryUpdate',
    'LoadedRetriever',
    'PersonRetrievalInferencer',
    'SearchResult',
    'build_source',
    'list_images',
    'load_embedder',
    'load_retriever',
    'paraphrases_of',
    'read_source',
    'update_gallery',
]
