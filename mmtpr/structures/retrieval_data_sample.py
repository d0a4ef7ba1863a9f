"""What one sample of a retrieval data set knows about itself."""

import torch
from mmengine.structures import BaseDataElement

#: A training sample, a query of an evaluation, an item to be found.
ROLES = ('train', 'query', 'gallery')


class RetrievalDataSample(BaseDataElement):
    """One image-caption pair, query or gallery item.

    Facts are metainfo; tensors are data fields.

    Meta information (all optional):
        - ``role`` (str): ``'train'``, ``'query'`` or ``'gallery'``.
        - ``pid`` (int): Person identity.
        - ``instance_id`` (int): Identity and outfit, of composed retrieval;
          -1 marks a distractor.
        - ``image_id`` (int): Identity of the picture; the captions of one
          picture share it.
        - ``img_path`` (str), ``caption`` (str), ``attributes`` (list[int]).

    Examples:
        >>> sample = RetrievalDataSample(metainfo=dict(role='query', pid=3))
        >>> sample.tokens = torch.arange(5)
        >>> sample.pid
        3
    """

    @property
    def tokens(self) -> torch.Tensor:
        """Token ids of the caption, of shape (L, ), long."""
        return self._tokens

    @tokens.setter
    def tokens(self, value: torch.Tensor) -> None:
        self.set_field(value, '_tokens', dtype=torch.Tensor)

    @tokens.deleter
    def tokens(self) -> None:
        del self._tokens

    @property
    def mlm_tokens(self) -> torch.Tensor:
        """Token ids with some masked, of shape (L, ), long."""
        return self._mlm_tokens

    @mlm_tokens.setter
    def mlm_tokens(self, value: torch.Tensor) -> None:
        self.set_field(value, '_mlm_tokens', dtype=torch.Tensor)

    @mlm_tokens.deleter
    def mlm_tokens(self) -> None:
        del self._mlm_tokens

    @property
    def mlm_labels(self) -> torch.Tensor:
        """True ids where masked, else -100, of shape (L, ), long."""
        return self._mlm_labels

    @mlm_labels.setter
    def mlm_labels(self, value: torch.Tensor) -> None:
        self.set_field(value, '_mlm_labels', dtype=torch.Tensor)

    @mlm_labels.deleter
    def mlm_labels(self) -> None:
        del self._mlm_labels

    @property
    def features(self) -> torch.Tensor:
        """Embedding, (D, ) for a query, (T, D) for a gallery item."""
        return self._features

    @features.setter
    def features(self, value: torch.Tensor) -> None:
        self.set_field(value, '_features', dtype=torch.Tensor)

    @features.deleter
    def features(self) -> None:
        del self._features
