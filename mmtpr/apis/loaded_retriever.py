"""A retriever with all that its config says of its data."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from mmengine.config import Config
from torch import nn

from mmtpr.gallery import ModelIdentity
from mmtpr.utils.config_parts import build_pipeline, find_pipeline

from .config_facts import as_config, collate_of, evaluator_tokens
from .model_source import build_source, identity_of, read_source


@dataclass
class LoadedRetriever:
    """A model in evaluation mode, and what makes batches for it.

    Attributes:
        cfg (Config): Its config.
        model (nn.Module): The model.
        transforms (list[dict]): Configs of the transforms of its test data.
        pipeline (Callable): These transforms.
        collate (Callable): From packed samples to a batch.
    """

    cfg: Config
    model: nn.Module
    transforms: list[dict]
    pipeline: Callable
    collate: Callable

    @cached_property
    def identity(self) -> ModelIdentity:
        """Whose vectors the model gives."""
        return identity_of(self.model, self.cfg)

    @property
    def composed(self) -> bool:
        """Tell whether a query is an image with a sentence.

        Returns:
            bool: False where it is a sentence alone.
        """
        return hasattr(self.model, 'extract_query_feat')

    @property
    def embeds_sentences(self) -> bool:
        """Tell whether it embeds a sentence alone.

        Returns:
            bool: False for composed models that fuse image and sentence in
            one encoder, which has no vector of a sentence.
        """
        if not self.composed:
            return True
        encoder = getattr(self.model, 'encoder', None)  # None if exported
        return hasattr(encoder, 'encode_text') and not hasattr(
            encoder, 'encode_query'
        )

    @property
    def topk_tokens(self) -> int:
        """Tell how many of an image's cosines the evaluator averages.

        Returns:
            int: 1 where the config says nothing.
        """
        return evaluator_tokens(self.cfg)


def load_retriever(
    config: str | Config,
    checkpoint: str | None = None,
    device: str = 'cpu',
    allow_partial: bool = False,
) -> LoadedRetriever:
    """Load a retriever that is to be used, not trained.

    Args:
        config (str | Config): Config or its path, with a ``test_dataloader``
            whose pipeline is used; or a folder that a model was exported or
            saved to.
        checkpoint (str, optional): The weights; None for what the model loads
            by itself, and with a folder. Defaults to None.
        device (str): Defaults to ``'cpu'``.
        allow_partial (bool): Whether a checkpoint that lacks trained weights
            will do. Defaults to False.

    Returns:
        LoadedRetriever: The model with its data's transforms.

    Raises:
        LaunchError: If the checkpoint is of another model, or the config has
            no test data.
    """
    cfg = as_config(read_source(config, checkpoint))
    model = build_source(cfg, checkpoint, device, allow_partial)
    transforms = find_pipeline(cfg)
    return LoadedRetriever(
        cfg,
        model,
        transforms,
        build_pipeline(transforms),
        collate_of(cfg, model),
    )
