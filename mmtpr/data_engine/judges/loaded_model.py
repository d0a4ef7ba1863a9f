"""A retriever of mmtpr that judges pairs."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from mmtpr.apis.embedding import image_embedder, image_entries
from mmtpr.apis.loaded_retriever import LoadedRetriever, load_retriever
from mmtpr.filtering.scorer import RetrieverScorer
from mmtpr.models.embedder import EmbeddedRows, unreadable_error
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.fingerprint import scorer_fingerprint

from ..devices import chosen_device


class JudgingModel:
    """A retriever, loaded on first use.

    Args:
        config (str): Its config, with a ``test_dataloader`` whose pipeline is
            used.
        checkpoint (str, optional): Its weights. Defaults to None: what the
            config loads.
        device (str, optional): Defaults to None: ``'cuda'`` where there is
            one.
        batch_size (int): Images embedded at once. Defaults to 64.
        num_workers (int): Processes that read images. Defaults to 0.
        composed (bool): Whether it must take queries of image and sentence.
            Defaults to False.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        device: str | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        composed: bool = False,
    ) -> None:
        self.config, self.checkpoint = config, checkpoint
        self.batch_size, self.num_workers = batch_size, num_workers
        self.composed = composed
        self.device = chosen_device(device)

    def settings(self) -> dict[str, Any]:
        """Tell what decides the embeddings.

        Returns:
            dict[str, Any]: Plain values, with a fingerprint of weights and
            transforms.
        """
        loaded = self.loaded
        return dict(
            config=self.config,
            checkpoint=self.checkpoint,
            fingerprint=scorer_fingerprint(
                loaded.model, loaded.cfg, loaded.transforms
            ),
        )

    @cached_property
    def loaded(self) -> LoadedRetriever:
        """The model with its transforms."""
        found = load_retriever(self.config, self.checkpoint, self.device)
        if self.composed and not found.composed:
            raise LaunchError(
                f'"{self.config}" is no composed retriever: it has no queries '
                'of an image and a sentence.'
            )
        return found

    @cached_property
    def scorer(self) -> RetrieverScorer:
        """What embeds images and captions in one space."""
        return RetrieverScorer(
            self.loaded.model,
            self.loaded.pipeline,
            self.batch_size,
            self.num_workers,
        )

    def images(self, paths: Sequence[Any]) -> Tensor:
        """Embed images.

        Args:
            paths (Sequence[Path]): N images.

        Returns:
            Tensor: Tokens, (N, T, D), normalised, on the CPU.
        """
        entries = image_entries([str(path) for path in paths])
        return self.scorer.embed_images(entries)[0].cpu()

    def captions(self, texts: Sequence[str]) -> Tensor:
        """Embed captions.

        Args:
            texts (Sequence[str]): K captions.

        Returns:
            Tensor: Of shape (K, D), normalised, on the CPU.
        """
        return self.scorer.embed_captions(texts).cpu()

    def predict(self, entries: Sequence[dict]) -> Tensor:
        """Embed entries as a test does: queries, or items of a gallery.

        Args:
            entries (Sequence[dict]): N entries for the pipeline, all queries
                or all items.

        Returns:
            Tensor: Of shape (N, D) or (N, T, D), on the CPU.
        """
        loaded = self.loaded
        embedder = image_embedder(
            loaded.pipeline,
            loaded.collate,
            loaded.model,
            self.batch_size,
            self.num_workers,
        )
        rows: Any = EmbeddedRows(len(entries))
        for batch in embedder(entries):
            if batch.broken:
                raise unreadable_error(entries, batch.broken)
            rows.put(batch.indices, batch.feats)
        return rows.first(len(entries))
