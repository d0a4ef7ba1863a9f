"""An exported retriever that embeds without the torch model."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor

from mmtpr.models.data_preprocessor import RetrievalDataPreprocessor
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.composed_rows import (
    gallery_rows,
    put_composed_negatives,
    query_rows,
)
from mmtpr.structures.predictions import put_by_kind, put_rows
from mmtpr.structures.query_parts import mean_of_parts, put_negatives

from .onnx_folder import OnnxFolder, read_onnx_folder
from .onnx_session import OnnxSession


class OnnxRetriever(BaseModel):
    """Towers of ONNX in place of a retriever that only predicts.

    Torch holds the tensors; onnxruntime computes.

    Args:
        source (OnnxFolder): The export.
        device (str): Where onnxruntime computes. Defaults to ``'cpu'``.

    Attributes:
        identity (ModelIdentity): Of the torch model it was made of.

    Raises:
        ImportError: If onnxruntime is not installed.
        ValueError: If a tower cannot be loaded.
    """

    def __init__(self, source: OnnxFolder, device: str = 'cpu') -> None:
        image = source.card['image']
        super().__init__(
            RetrievalDataPreprocessor(
                image['mean'], image['std'], to_rgb=image['to_rgb']
            )
        )
        self.identity = source.identity
        self._size = image['height'], image['width']
        self._length = source.card['text']['context_length']
        self._towers = {
            name: OnnxSession(source.folder / tower['file'], device)
            for name, tower in source.card['towers'].items()
        }

    def extract_image_feat(self, images: Tensor) -> Tensor:
        """Embed images.

        Args:
            images (Tensor): Normalised images of shape (M, 3, H, W).

        Returns:
            Tensor: Of shape (M, T, D), L2-normalised, float32.

        Raises:
            ValueError: If the images have another size than was exported.
        """
        self._check_images(images)
        return self._towers['image'].run((images,))[0]

    def _check_images(self, images: Tensor) -> None:
        size = tuple(images.shape[2:])
        if size != self._size:
            raise ValueError(
                f'The exported model takes images of {self._size[0]}x'
                f'{self._size[1]} (height x width), got {size[0]}x{size[1]}.'
            )

    def _check_tokens(self, tokens: Tensor) -> None:
        if tokens.shape[1] != self._length:
            raise ValueError(
                f'The exported model takes {self._length} text tokens, got '
                f'{tokens.shape[1]}.'
            )

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[RetrievalDataSample] | None = None,
        mode: str = 'predict',
    ) -> list[RetrievalDataSample]:
        """Put an embedding on every sample.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence[RetrievalDataSample]): Samples.
            mode (str): ``'predict'``, all that an exported model does.

        Returns:
            list[RetrievalDataSample]: The samples, ``features`` set: (D, )
            of a query, (T, D) of an image, L2-normalised, float32.

        Raises:
            RuntimeError: If the mode is another one.
            ValueError: If a sample has nothing to embed.
        """
        if mode != 'predict' or data_samples is None:
            raise RuntimeError(
                f'An exported model only predicts, it has no mode {mode!r}.'
            )
        self._predict(inputs, data_samples)
        return list(data_samples)

    def _predict(self, inputs, samples) -> None:
        encoded = {}
        if 'image' in inputs:
            feats = self.extract_image_feat(inputs['image'])
            encoded['image'] = dict(features=feats)
        if 'tokens' in inputs:
            feats = self._embed_text(inputs['tokens'])
            encoded['text'] = dict(features=feats)
        put_by_kind(samples, inputs, encoded)
        put_negatives(samples, inputs, self._embed_text)

    def _embed_text(self, tokens: Tensor) -> Tensor:
        self._check_tokens(tokens)
        return self._towers['text'].run((tokens,))[0]


class OnnxComposedRetriever(OnnxRetriever):
    """An exported retriever whose queries are an image with a sentence.

    Args:
        source (OnnxFolder): The export.
        device (str): Where onnxruntime computes. Defaults to ``'cpu'``.
    """

    def extract_query_feat(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Embed reference images with their sentences.

        Args:
            images (Tensor): Normalised images of shape (K, 3, H, W).
            tokens (Tensor): Token ids of shape (K, L).

        Returns:
            Tensor: Of shape (K, D), L2-normalised, float32.
        """
        return self._query(images, tokens)[0]

    def _query(self, images: Tensor, tokens: Tensor) -> list[Tensor]:
        self._check_images(images)
        self._check_tokens(tokens)
        return self._towers['query'].run((images, tokens))

    def _predict(self, inputs, samples) -> None:
        rows, token_rows, owners, queries = query_rows(inputs, samples)
        if queries:
            feats, *cut = self._query(
                inputs['image'][rows], inputs['tokens'][token_rows]
            )
            feats = mean_of_parts(feats, owners, len(queries))
            put_rows(queries, dict(features=feats))
            flags: list[bool] = cut[0].tolist() if cut else []
            for owner, flag in zip(owners, flags, strict=False):
                queries[owner].set_metainfo(dict(caption_cut=flag))
        put_composed_negatives(samples, inputs, self.extract_query_feat)
        rows, items = gallery_rows(inputs, samples)
        if items:
            feats = self.extract_image_feat(inputs['image'][rows])
            put_rows(items, dict(features=feats))


def onnx_config(folder: Any) -> Config:
    """Make a config of an exported model, for what takes one.

    Args:
        folder (str | Path): The folder.

    Returns:
        Config: Pipeline of the test data, evaluator, and as ``model`` what
        tells one export from another; ``onnx_folder`` names the folder.

    Raises:
        ValueError: If the folder is damaged, or of a newer mmtpr.
    """
    source = read_onnx_folder(folder)
    told = dict(
        type='mmtpr.export.OnnxRetriever',
        identity=source.identity.to_dict(),
        files=source.card['files'],
    )
    return Config(
        dict(source.config, model=told, onnx_folder=str(source.folder))
    )


def load_onnx(
    folder: Any, device: str | torch.device = 'cpu'
) -> OnnxRetriever:
    """Load an exported model.

    Args:
        folder (str | Path): The folder.
        device (str | device): Where onnxruntime computes. Defaults to
            ``'cpu'``.

    Returns:
        OnnxRetriever: The model; with ``extract_query_feat`` if its queries
        are an image with a sentence.

    Raises:
        ImportError: If onnxruntime is not installed.
        ValueError: If the folder is damaged, or of a newer mmtpr.
    """
    source = read_onnx_folder(folder)
    composed = 'query' in source.card['towers']
    kind = OnnxComposedRetriever if composed else OnnxRetriever
    return kind(source, str(device))
