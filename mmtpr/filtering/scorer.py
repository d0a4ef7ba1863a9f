"""Models that score relevance, behind one interface."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmtpr.models.data_preprocessor import collate_for
from mmtpr.models.embedder import (
    EmbeddedRows,
    Embedder,
    check_finite,
    unreadable_error,
)


class RelevanceScorer(Protocol):
    """Interface of models that score relevance.

    Both embeddings are L2-normalised and of the same width; relevance is the
    largest dot product of a caption with a token of the image.
    """

    def embed_images(
        self,
        samples: Sequence[dict],
        on_batch: Callable[[int], Any] | None = None,
    ) -> tuple[Tensor, dict[int, str]]:
        """Embed images.

        Args:
            samples (Sequence[dict]): Dataset entries with ``img_path``.
            on_batch (Callable, optional): Called with the number of images
                of every batch done.

        Returns:
            tuple[Tensor, dict[int, str]]: Tokens, (N, T, D) with zeros for
            unreadable images, and these images' positions and reasons.
        """

    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """Embed captions.

        Args:
            captions (Sequence[str]): K captions.

        Returns:
            Tensor: Embeddings, (K, D).
        """


class RetrieverScorer:
    """Any retriever of mmtpr as a scorer.

    The retriever offers ``data_preprocessor``, ``extract_image_feat(images)
    -> (M, T, D)`` and ``extract_text_feat(tokens) -> (K, D)``, both
    normalised; the data preprocessor gives ``inputs`` with ``image`` or
    ``tokens``.

    Args:
        model (nn.Module): The retriever, with its weights, on its device.
        pipeline (Callable): Composed transforms without randomness: an entry
            with an image or a caption to what the data preprocessor takes.
        batch_size (int): Images or captions embedded at once. Defaults to 64.
        num_workers (int): Processes that read images. Defaults to 0.
        amp (bool): Whether to embed in bfloat16 where possible. Defaults to
            False.
        skip_broken (bool): Whether to report unreadable images instead of
            raising. Defaults to False.
    """

    def __init__(
        self,
        model: nn.Module,
        pipeline: Callable,
        batch_size: int = 64,
        num_workers: int = 0,
        amp: bool = False,
        skip_broken: bool = False,
    ) -> None:
        needed = ('extract_image_feat', 'extract_text_feat')
        missing = [name for name in needed if not hasattr(model, name)]
        if missing:
            raise TypeError(
                f'{type(model).__name__} cannot score relevance: it has no '
                f'{" and no ".join(missing)}. Use a retriever such as '
                'mmtpr.TextPersonRetriever.'
            )
        self.model: Any = model.eval()
        self.pipeline = pipeline
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.amp = amp
        self.skip_broken = skip_broken

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def embed_images(
        self,
        samples: Sequence[dict],
        on_batch: Callable[[int], Any] | None = None,
    ) -> tuple[Tensor, dict[int, str]]:
        """Embed images. See :meth:`RelevanceScorer.embed_images`.

        Args:
            samples (Sequence[dict]): Dataset entries with ``img_path``.
            on_batch (Callable, optional): Called after every batch.

        Returns:
            tuple[Tensor, dict[int, str]]: Tokens, (N, T, D), and the
            unreadable images.

        Raises:
            ValueError: If an image cannot be read and broken ones are not
                skipped, or if an embedding is not finite.
        """
        embedder = Embedder(
            self.pipeline,
            collate_for(self.model.data_preprocessor),
            partial(self._extract, name='image', method='extract_image_feat'),
            self.batch_size,
            self.num_workers,
        )
        rows = EmbeddedRows(len(samples))
        broken: dict[int, str] = {}
        for batch in embedder(samples):
            if batch.broken and not self.skip_broken:
                raise unreadable(samples, batch.broken)
            broken.update(batch.broken)
            if batch.feats is not None:
                rows.put(batch.indices, batch.feats)
            if on_batch is not None:
                on_batch(len(batch))
        tokens = rows.first(len(samples))  # (N, T, D)
        if tokens is None:
            tokens = torch.zeros(len(samples), 1, 1)
        return tokens, broken

    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """Embed captions. See :meth:`RelevanceScorer.embed_captions`.

        Args:
            captions (Sequence[str]): K captions.

        Returns:
            Tensor: Embeddings, (K, D).
        """
        rows: Any = EmbeddedRows(len(captions))
        for start in range(0, len(captions), self.batch_size):
            texts = captions[start : start + self.batch_size]
            packed = [
                self.pipeline(dict(role='query', caption=t)) for t in texts
            ]
            batch = collate_for(self.model.data_preprocessor)(packed)
            feats = self._extract(batch, 'tokens', 'extract_text_feat')
            check_finite(feats, [dict(caption=text) for text in texts])
            rows.put(range(start, start + len(feats)), feats)
        return rows.first(len(captions))

    @torch.inference_mode()
    def _extract(self, batch: dict, name: str, method: str) -> Tensor:
        inputs = self.model.data_preprocessor(batch, False)['inputs']
        if name not in inputs:
            raise KeyError(
                f'The pipeline gives no {name} to score with. Name one with '
                'an image loader and mmtpr.TokenizeCaption.'
            )
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.amp
        ):
            feats = getattr(self.model, method)(inputs[name])
        return feats.float()


def unreadable(samples: Sequence[dict], reasons: dict[int, str]) -> ValueError:
    """Make the error that names an unreadable image, and says what to do.

    Args:
        samples (Sequence[dict]): Dataset entries with ``img_path``.
        reasons (dict[int, str]): Reasons by index of the entry.

    Returns:
        ValueError: The error.
    """
    advice = ', or rank their pairs last with --skip-broken'
    return unreadable_error(samples, reasons, advice)
