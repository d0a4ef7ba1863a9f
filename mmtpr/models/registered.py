"""All parts of models, imported so that they register."""

from . import (  # noqa: F401
    adapters,
    encoders,
    heads,
    losses,
    necks,
    retrievers,
)
from .data_preprocessor import RetrievalDataPreprocessor  # noqa: F401
