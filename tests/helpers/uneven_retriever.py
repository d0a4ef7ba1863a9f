"""A retriever as on a processor whose kernels treat rows differently."""

from mmtpr.models.retrievers import TextPersonRetriever
from mmtpr.registry import MODELS
from mmtpr.testing import disturb_kernels


@MODELS.register_module(force=True)
class UnevenRetriever(TextPersonRetriever):
    """See :func:`disturb_kernels`."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        disturb_kernels(self)
