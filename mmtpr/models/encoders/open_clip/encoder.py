"""Dual encoders of open_clip."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from mmtpr.models.freezing import freeze, frozen_layers, rest_frozen
from mmtpr.registry import MODELS

from ..input_checks import check_image_size
from . import token_features as towers
from .attended import AttendedTowers
from .build import create_clip, model_config, set_activation, set_image_size
from .companions import find_companions
from .parts import PARTS, freeze_unused
from .pos_embed import set_resnet_size
from .pseudo_words import encode_with_words, token_embedding
from .weights import find_weights, fits, load_clip_weights


@MODELS.register_module()
class OpenCLIPEncoder(AttendedTowers, nn.Module):
    """Image and text encoder of any open_clip model.

    The model is the attribute ``clip``; its parts keep open_clip's names.

    Args:
        model (str | PathLike | dict): Name of an open_clip model, a
            ``hf-hub:`` or ``local-dir:`` name, a json file with a model
            config, or the config itself.
        pretrained (str | PathLike, optional): Tag of open_clip
            (``'openai'``), ``'hub'`` with a ``hf-hub:`` model, a local file
            (open_clip or OpenAI layout, safetensors, or a checkpoint of an
            mmtpr retriever), or None for random weights.
        image_size (tuple[int, int] | int, optional): Height and width of the
            images. Defaults to None: that of the model.
        interpolation (str): How the grid of positions is resized. Defaults
            to ``'bilinear'``, which IRRA uses; open_clip uses ``'bicubic'``
            with ``antialias=True``. Towers of timm resize by themselves.
        antialias (bool): Whether to smooth where the grid shrinks.
        pretrained_size (tuple[int, int], optional): Height and width of the
            images that ``pretrained`` was trained with, if they were not
            square and ``image_size`` is another. Defaults to None.
        quick_gelu (bool, optional): Activation of the transformers. Defaults
            to None: QuickGELU if the model's config or the tag says so or the
            file is an archive of OpenAI.
        context_length (int, optional): Text tokens, if not the model's.
        image_mean (Sequence[float], optional): Mean of each channel, RGB in
            0..1, that images are normalised with. Defaults to None: that of
            the weights, as far as their tag, their file or all tags of the
            model tell.
        image_std (Sequence[float], optional): Standard deviation likewise.
        token_projection (bool): Whether token features are projected into the
            shared space, as IRRA does. Towers that cannot project single
            tokens keep their own width. Defaults to True.
        frozen (Sequence[str]): ``'visual'`` and/or ``'text'``: parts that do
            not train and stay in evaluation mode.
        grad_checkpointing (bool): Whether to recompute activations in the
            backward pass to save memory. Defaults to False.

    Attributes:
        image_mean, image_std (tuple[float, ...] | None): What the data
            preprocessor of a retriever takes unless it has its own.
        embed_dim (int): Width of the shared space.
        vision_width, text_width (int): Widths of the towers.
        image_token_width, text_token_width (int): Widths of the tokens.
        vocab_size, context_length (int): Of the text tower.
        image_size (tuple[int, int]): Height and width.

    Examples:
        >>> encoder = dict(
        ...     type='mmtpr.OpenCLIPEncoder',
        ...     model='ViT-B-16-quickgelu',
        ...     pretrained='openai',
        ...     image_size=(384, 128))
    """

    # CLIP, CustomTextCLIP or CoCa of open_clip.
    clip: Any

    def __init__(
        self,
        model: str | PathLike | dict,
        pretrained: str | PathLike | None = None,
        image_size: tuple[int, int] | int | None = None,
        interpolation: str = 'bilinear',
        antialias: bool = False,
        pretrained_size: tuple[int, int] | None = None,
        quick_gelu: bool | None = None,
        context_length: int | None = None,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        token_projection: bool = True,
        frozen: Sequence[str] = (),
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        config = model_config(model)
        weights = find_weights(model, pretrained) if pretrained else None
        set_activation(config, quick_gelu, weights)
        if context_length:
            config['text_cfg']['context_length'] = context_length
        size = set_image_size(config, image_size)
        self._quick_gelu = bool(config.get('quick_gelu'))
        self._set_statistics(model, pretrained, weights, image_mean, image_std)
        if weights and pretrained_size is None:
            pretrained_size = weights.facts.get('image_size')
        self.clip = create_clip(config)
        self._load(size, weights, (interpolation, antialias, pretrained_size))
        self._describe(config['embed_dim'], token_projection)
        self.frozen = freeze(self.clip, PARTS, frozen)
        freeze_unused(self.clip)
        if grad_checkpointing:
            self.clip.set_grad_checkpointing(True)

    def _set_statistics(self, model, pretrained, weights, mean, std) -> None:
        """Mean and std: as asked for, of the file, of the tag."""
        told = weights.facts if weights else {}
        known = find_companions(model, pretrained)
        mean = mean or told.get('image_mean') or known.mean
        std = std or told.get('image_std') or known.std
        self.image_mean = tuple(mean) if mean else None
        self.image_std = tuple(std) if std else None

    def _load(self, size, weights, options) -> None:
        """Load weights, and bring towers to size that are built square."""
        visual = self.clip.visual
        later = None
        if size and isinstance(visual, ModifiedResNet):
            set_resnet_size(visual, size)
        if size and isinstance(visual, TimmModel):
            if weights and fits(self.clip, weights):
                later = size
            else:
                visual.set_input_size(size)
        if weights:
            load_clip_weights(self.clip, weights, *options)
        if later:
            visual.set_input_size(later)

    def _describe(self, embed_dim: int, token_projection: bool) -> None:
        clip = self.clip
        text = getattr(clip, 'text', clip)
        self.embed_dim = embed_dim
        self.vision_width = towers.image_width(clip.visual)
        self.text_width = towers.text_width(clip)
        self.vocab_size = text.vocab_size
        self.context_length = text.context_length
        size = clip.visual.image_size
        self.image_size = (size, size) if isinstance(size, int) else (*size,)
        self._project_text = token_projection
        self._project_image = token_projection and towers.projects_tokens(
            clip.visual
        )
        self.image_token_width = (
            embed_dim if self._project_image else self.vision_width
        )
        self.text_token_width = (
            embed_dim if token_projection else self.text_width
        )

    def function_facts(self) -> dict:
        """Tell what decides the features and is not among the weights.

        Returns:
            dict: See :mod:`mmtpr.checkpoints.function_facts`.
        """
        return dict(
            quick_gelu=self._quick_gelu,
            context_length=self.context_length,
            image_size=list(self.image_size),
            patch_grid=self._patch_grid(),
            image_mean=self.image_mean and list(self.image_mean),
            image_std=self.image_std and list(self.image_std),
        )

    def _patch_grid(self) -> list[int] | None:
        """Rows and columns of patches of a vision transformer."""
        grid = getattr(self.clip.visual, 'grid_size', None)
        if grid is None:
            trunk = getattr(self.clip.visual, 'trunk', None)
            grid = getattr(
                getattr(trunk, 'patch_embed', None), 'grid_size', None
            )
        return [*grid] if grid else None

    @property
    def logit_scale(self) -> nn.Parameter:
        """Logarithm of CLIP's own 1 / temperature."""
        return self.clip.logit_scale

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Switch recomputation of activations on or off.

        Args:
            enable (bool): Defaults to True.
        """
        self.clip.set_grad_checkpointing(enable)

    def train(self, mode: bool = True) -> 'OpenCLIPEncoder':
        """Set the mode; frozen parts stay in evaluation, adapters do not.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            OpenCLIPEncoder: Itself.
        """
        super().train(mode)
        rest_frozen(frozen_layers(self.clip, PARTS, self.frozen))
        return self

    def encode_image(
        self, images: Tensor, return_tokens: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).
            return_tokens (bool): Whether to return tokens too.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Un-normalised features of shape
            (B, D), and tokens of shape (B, N, image_token_width) on demand.

        Raises:
            ValueError: If the images have not the encoder's size.
            TypeError: If tokens are asked of a tower that has none.
        """
        check_image_size(images, self.image_size)
        if return_tokens:
            return towers.image_tokens(
                self.clip.visual, images, self._project_image
            )
        features = self.clip.encode_image(images, normalize=False)
        # Models with output_tokens=True in their config give a pair.
        return features[0] if isinstance(features, tuple) else features

    def encode_text(
        self, tokens: Tensor, return_tokens: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Encode captions.

        Args:
            tokens (Tensor): Token ids of shape (B, L), long.
            return_tokens (bool): Whether to return token features too.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Un-normalised features of shape
            (B, D), and tokens of shape (B, L, text_token_width) on demand.

        Raises:
            ValueError: If L is not what the encoder takes.
        """
        self._check_length(tokens)
        if return_tokens:
            return towers.text_tokens(self.clip, tokens, self._project_text)
        features = self.clip.encode_text(tokens, normalize=False)
        return features[0] if isinstance(features, tuple) else features

    @property
    def word_width(self) -> int:
        """Width of the token embeddings, which pseudo words must have."""
        return token_embedding(self.clip).embedding_dim

    def encode_text_with_words(
        self,
        tokens: Tensor,
        words: Tensor,
        placeholder_id: int | None = None,
        length: int | None = None,
    ) -> Tensor:
        """Encode captions that contain pseudo words.

        Args:
            tokens (Tensor): Token ids of shape (B, L), or (1, L) for all.
            words (Tensor): Pseudo words of shape (B, W, word_width).
            placeholder_id (int, optional): Token the words replace. Defaults
                to None: they go to the end of the text.
            length (int, optional): Positions that are needed at most, where
                that is known. Defaults to None: they are looked for and
                checked, for which the host waits.

        Returns:
            Tensor: Un-normalised features of shape (B, D).

        Raises:
            ValueError: If shapes do not fit, a caption has no placeholder or
                words find no room.
        """
        self._check_length(tokens)
        return encode_with_words(
            self.clip, tokens, words, placeholder_id, length
        )

    def _check_length(self, tokens: Tensor) -> None:
        length = tokens.shape[1]
        text = getattr(self.clip, 'text', None)
        flexible = isinstance(text, HFTextEncoder)
        if length == self.context_length or (
            flexible and length < self.context_length
        ):
            return
        raise ValueError(
            f'The encoder takes {self.context_length} text tokens, got '
            f'{length}. Set context_length={self.context_length} of '
            'mmtpr.TokenizeCaption, or context_length of the encoder.'
        )

    def forward(
        self, images: Tensor | None = None, tokens: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode images, captions or both.

        Args:
            images (Tensor, optional): Of shape (B, 3, H, W).
            tokens (Tensor, optional): Of shape (K, L).

        Returns:
            tuple[Tensor | None, Tensor | None]: Un-normalised features of
            shape (B, D) and (K, D).
        """
        # Without return_tokens it is features alone.
        return (  # type: ignore[return-value]
            None if images is None else self.encode_image(images),
            None if tokens is None else self.encode_text(tokens),
        )
