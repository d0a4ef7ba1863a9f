"""Models that score relevance, behind one interface."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class RelevanceScorer(Protocol):
    """What scoring asks of a model.

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
            samples (Sequence[dict]): Data set entries with ``img_path``.
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
        self.model = model.eval()
        self.pipeline = pipeline
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.amp = amp
        self.skip_broken = skip_broken

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def embed_images(
        self,
        samples: Sequence[dict],
        on_batch: Callable[[int], Any] | None = None,
    ) -> tuple[Tensor, dict[int, str]]:
        """Embed images. See :meth:`RelevanceScorer.embed_images`.

        Args:
            samples (Sequence[dict]): Data set entries with ``img_path``.
            on_batch (Callable, optional): Called after every batch.

        Returns:
            tuple[Tensor, dict[int, str]]: Tokens, (N, T, D), and the
            unreadable images.

        Raises:
            ValueError: If an image cannot be read and broken ones are not
                skipped, or if an embedding is not finite.
        """
        parts: list[tuple[list[int], Tensor]] = []
        broken: dict[int, str] = {}
        for count, places, batch, failed in self._batches(samples):
            if failed and not self.skip_broken:
                raise unreadable_error(samples, failed)
            broken.update(failed)
            if places:
                feats = self._extract(batch, 'image', 'extract_image_feat')
                _check_finite(feats, [samples[i] for i in places])
                parts.append((places, feats))
            if on_batch is not None:
                on_batch(count)
        if not parts:
            return torch.zeros(len(samples), 1, 1), broken
        shape = (len(samples), *parts[0][1].shape[1:])
        tokens = parts[0][1].new_zeros(shape)
        for places, feats in parts:
            tokens[places] = feats
        return tokens, broken

    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """Embed captions. See :meth:`RelevanceScorer.embed_captions`.

        Args:
            captions (Sequence[str]): K captions.

        Returns:
            Tensor: Embeddings, (K, D).
        """
        parts = []
        for start in range(0, len(captions), self.batch_size):
            texts = captions[start : start + self.batch_size]
            batch = pseudo_collate(
                [self.pipeline(dict(role='query', caption=t)) for t in texts]
            )
            feats = self._extract(batch, 'tokens', 'extract_text_feat')
            _check_finite(feats, [dict(caption=text) for text in texts])
            parts.append(feats)
        return torch.cat(parts)

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

    def _batches(self, samples: Sequence[dict]) -> Iterator[tuple]:
        return iter(
            DataLoader(
                _Images(samples, self.pipeline),
                batch_size=self.batch_size,
                num_workers=min(self.num_workers, len(samples)),
                collate_fn=_collate,
            )
        )


class _Images(Dataset):
    """Images of entries, or the reason why one cannot be read."""

    def __init__(self, samples: Sequence[dict], pipeline: Callable) -> None:
        self.samples = samples
        self.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[int, dict | None, str]:
        try:
            data = self.pipeline(dict(self.samples[index]))
        except Exception as error:
            return index, None, str(error)
        return index, data, 'the pipeline gave nothing'


def _collate(
    items: list[tuple[int, dict | None, str]],
) -> tuple[int, list[int], dict | None, dict[int, str]]:
    good = [(index, data) for index, data, _ in items if data is not None]
    broken = {index: why for index, data, why in items if data is None}
    batch = pseudo_collate([data for _, data in good]) if good else None
    return len(items), [index for index, _ in good], batch, broken


def unreadable_error(
    samples: Sequence[dict], reasons: dict[int, str]
) -> ValueError:
    """Make the error that names an unreadable image.

    Args:
        samples (Sequence[dict]): Data set entries with ``img_path``.
        reasons (dict[int, str]): Reasons by position of the entry.

    Returns:
        ValueError: The error.
    """
    place, reason = next(iter(reasons.items()))
    return ValueError(
        f'{len(reasons)} of {len(samples)} images cannot be scored, e.g. '
        f'"{samples[place].get("img_path")}": {reason} Repair or remove such '
        'images, or rank their pairs last with --skip-broken.'
    )


def _check_finite(feats: Tensor, samples: Sequence[dict]) -> None:
    bad = (~torch.isfinite(feats)).flatten(1).any(1)
    if bad.any():
        sample = samples[int(bad.nonzero()[0])]
        raise ValueError(
            'The embedding of '
            f'"{sample.get("img_path", sample.get("caption"))}" is not '
            'finite. Check the checkpoint, or score without --amp.'
        )
