"""The sample of a retrieval dataset: facts, tensors of a caption, features."""

import copy

import torch
from mmengine.structures import BaseDataElement

#: A training sample, a query of an evaluation, an item to be found.
ROLES = ('train', 'query', 'gallery')
_UNCHANGING = (int, str, bool, float, type(None))


class TensorField(property):
    """A data field of a sample that takes tensors only.

    Args:
        name (str): Name of the field.
        doc (str): What it holds, and its shape.
    """

    def __init__(self, name: str, doc: str) -> None:
        hidden = f'_{name}'
        super().__init__(
            lambda sample: getattr(sample, hidden),
            lambda sample, value: sample.set_field(
                value, hidden, dtype=torch.Tensor
            ),
            lambda sample: delattr(sample, hidden),
        )
        # A subclass of property shows its own docstring else.
        self.__doc__ = doc


class TextField(TensorField):
    """A tensor of a caption, of shape (L, ), long.

    Whatever is declared so in :class:`RetrievalDataSample` is packed by
    ``mmtpr.PackRetrievalInputs`` where a pipeline makes it, and stacked by
    ``mmtpr.RetrievalDataPreprocessor`` for the model.

    Args:
        name (str): Name of the field.
        doc (str): What it holds.
        words (bool): Whether it holds token ids, which must lie inside the
            encoder's vocabulary. Defaults to True.
    """

    def __init__(self, name: str, doc: str, words: bool = True) -> None:
        super().__init__(name, f'{doc}, of shape (L, ), long.')
        self.words = words


class RetrievalDataSample(BaseDataElement):
    """One image-caption pair, query or gallery item.

    Facts are metainfo; tensors are data fields.

    Meta information (all optional):
        - ``role`` (str): ``'train'``, ``'query'`` or ``'gallery'``.
        - ``pid`` (int): Person identity.
        - ``instance_id`` (int): Identity and outfit, of composed retrieval;
          -1 marks a distractor.
        - ``image_id`` (int): Identity of the image; the captions of one
          image share it.
        - ``label_hat`` (int): 1 if the pair is held for a true one, 0 if for
          a wrong one, which losses of single pairs leave out.
        - ``img_path`` (str; of a composed query with several references
          list[str]), ``caption`` (str), ``attributes`` (list[int]).
        - ``negative_text`` (str), ``negative_weight`` (float): What a query
          does not want, see :mod:`mmtpr.structures.query_parts`.

    Examples:
        >>> sample = RetrievalDataSample(metainfo=dict(role='query', pid=3))
        >>> sample.tokens = torch.arange(5)
        >>> sample.pid
        3
    """

    tokens = TextField('tokens', 'Token ids of the caption')
    mlm_tokens = TextField('mlm_tokens', 'Token ids with some masked')
    mlm_labels = TextField(
        'mlm_labels', 'True ids where masked, else -100', words=False
    )
    negative_tokens = TextField(
        'negative_tokens', 'Token ids of what is not wanted'
    )
    eda_tokens = TextField('eda_tokens', 'Token ids of an augmented caption')
    features = TensorField(
        'features', 'Embedding, (D, ) for a query, (T, D) for a gallery item.'
    )

    def set_metainfo(self, metainfo: dict) -> None:
        """Set facts, copied where they could be changed from outside.

        mmengine copies all of them, which for the numbers and strings of a
        sample takes most of the time of packing it.

        Args:
            metainfo (dict): The facts.
        """
        for name, value in metainfo.items():
            if type(value) not in _UNCHANGING:
                value = copy.deepcopy(value)
            self.set_field(value, name, field_type='metainfo')


def text_fields() -> dict[str, TextField]:
    """List the tensors of captions that samples may have.

    Returns:
        dict[str, TextField]: By name, in the order of declaration.
    """
    return {
        name: field
        for name, field in vars(RetrievalDataSample).items()
        if isinstance(field, TextField)
    }
