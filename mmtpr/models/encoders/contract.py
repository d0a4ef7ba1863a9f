"""The contract of encoders: what retrievers and losses ask of them.

Shapes: M images, K captions of L tokens, P pairs; D is the width of the
shared space, Wi and Wt are the widths of image and text tokens.
"""

import re
from collections.abc import Collection
from typing import Literal, Protocol, overload

from torch import Tensor, nn

#: What cross layers read of images: keys and values for each cross layer,
#: tensors of one row for each image.
KeysValues = list[tuple[Tensor, Tensor]]


class DualEncoder(Protocol):
    """An encoder that embeds images and captions, each by itself.

    A retriever with ``temperature=None`` also asks for ``logit_scale``, the
    logarithm of the factor of cosines. A loss may ask for attributes, which
    it names in ``encoder_args``, and for tokens (``needs_tokens``): then both
    methods take ``return_tokens=True`` and return a pair, features and tokens
    (M, N, Wi) or (K, L, Wt).
    """

    def encode_image(self, images: Tensor) -> Tensor:
        """Embed images (M, 3, H, W); not normalised, (M, D)."""

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embed captions (K, L); not normalised, (K, D)."""


class CrossEncoder(Protocol):
    """An encoder that also judges whether a caption fits an image.

    ``vocab_size`` may be there too: token ids are checked by it.

    Attributes:
        pad_token_id (int): Token id of padding.
        temperature (nn.Parameter): Divisor of cosines, a scalar.
    """

    pad_token_id: int
    temperature: nn.Parameter

    @overload
    def encode_image(
        self, images: Tensor, return_tokens: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def encode_image(
        self, images: Tensor, return_tokens: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def encode_image(self, images, return_tokens=False):
        """Embed images (M, 3, H, W).

        Returns features (M, D), not normalised; with ``return_tokens`` a pair
        of them and of tokens (M, N, Wi).
        """

    @overload
    def encode_text(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        return_tokens: Literal[False] = False,
    ) -> Tensor: ...

    @overload
    def encode_text(
        self, tokens: Tensor, mask: Tensor | None, return_tokens: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def encode_text(self, tokens, mask=None, return_tokens=False):
        """Embed captions (K, L) without images.

        Returns features (K, D), not normalised; with ``return_tokens`` a pair
        of them and of states (K, L, Wt). ``mask`` is that of
        :meth:`text_mask` where it is None.
        """

    def text_mask(self, tokens: Tensor) -> Tensor:
        """Mark with 1 the tokens that count, (K, L) -> (K, L) long."""

    def image_keys_values(self, image_embeds: Tensor) -> KeysValues:
        """Compute keys and values of image tokens (M, N, Wi)."""

    def prepare_text(self, text_embeds: Tensor, text_mask: Tensor) -> Tensor:
        """Do what comes before a caption meets an image, (K, L, Wt).

        The result goes to :meth:`fuse` with ``prepared=True``. An encoder
        that does nothing before returns the states as they are.
        """

    def fuse(
        self,
        text_embeds: Tensor,
        text_mask: Tensor,
        keys_values: KeysValues,
        only_first: bool = False,
        prepared: bool = False,
    ) -> Tensor:
        """Let the i-th of P captions read the i-th image.

        Returns states (P, L, Wt), or (P, 1, Wt) of the first token, all that
        :meth:`match` reads, with ``only_first``.
        """

    def match(self, fused: Tensor) -> Tensor:
        """Judge pairs by their fused states; logits of no and yes, (P, 2)."""

    def predict_words(self, fused: Tensor) -> Tensor:
        """Predict words from states (..., Wt); logits (..., vocab_size)."""

    def freeze_unused(self, used: Collection[str]) -> None:
        """Freeze what serves none of the uses that losses make of it.

        Args:
            used (Collection[str]): Of ``'match'`` (:meth:`match` is trained),
                ``'words'`` (:meth:`predict_words`), ``'features'`` (features
                of images and captions) and ``'temperature'``.
        """


def check_encoder(encoder: nn.Module, contract: type, cure: str = '') -> None:
    """Check that an encoder has all that a contract names.

    Args:
        encoder (nn.Module): The encoder, or an adapter model around one.
        contract (type): A protocol of this module.
        cure (str): What to do where it is another kind of encoder.

    Raises:
        TypeError: Naming all that is missing.
    """
    missing = [n for n in _members(contract) if not hasattr(encoder, n)]
    if missing:
        raise TypeError(
            f'{type(encoder).__name__} is no {_words(contract)}: it has no '
            f'{", ".join(missing)}. See {contract.__module__}.'
            f'{contract.__name__}. {cure}'.rstrip()
        )


def _members(contract: type) -> list[str]:
    names = (*getattr(contract, '__annotations__', ()), *vars(contract))
    return [name for name in names if not name.startswith('_')]


def _words(contract: type) -> str:
    """``CrossEncoder`` -> ``cross encoder``."""
    return re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', contract.__name__).lower()
