"""Masked words, predicted from the other words and the image."""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from mmtpr.registry import MODELS

from .base import RetrievalFeatures, RetrievalLoss
from .functional import hidden_rows, hidden_word_entropy


@MODELS.register_module()
class MLMLoss(RetrievalLoss):
    """Implicit relation reasoning of IRRA (CVPR 2023).

    Tokens of the masked caption attend to the tokens of the image, pass a
    transformer, and the masked ones are classified over the vocabulary.
    Parts carry the names they have in IRRA.

    Args:
        text_width (int): Width of the text tokens and of the head.
        image_width (int): Width of the image tokens.
        vocab_size (int): Number of token ids. A retriever fills these three
            in from its encoder.
        layers (int): Layers of the transformer. Defaults to 4.
        heads (int, optional): Heads of all attentions. Defaults to None,
            which means one for each 64 of the width.
        weight (float): Factor of the loss. Defaults to 1.0.

    Examples:
        >>> losses = dict(mlm=dict(type='mmtpr.MLMLoss', layers=4))
    """

    needs_tokens = True
    trains_features = False
    trains_scale = False
    encoder_args = {
        'text_width': 'text_token_width',
        'image_width': 'image_token_width',
        'vocab_size': 'vocab_size',
    }

    def __init__(
        self,
        text_width: int,
        image_width: int,
        vocab_size: int,
        layers: int = 4,
        heads: int | None = None,
        weight: float = 1.0,
    ) -> None:
        # Takes a second, and other losses do without.
        from open_clip.transformer import QuickGELU, Transformer

        super().__init__(weight)
        heads = heads or max(1, text_width // 64)
        self.ln_pre_t = nn.LayerNorm(text_width)
        self.ln_pre_i = nn.LayerNorm(image_width)
        self.cross_attn = nn.MultiheadAttention(
            text_width,
            heads,
            kdim=image_width,
            vdim=image_width,
            batch_first=True,
        )
        self.cross_modal_transformer = Transformer(
            text_width, layers, heads, act_layer=QuickGELU
        )
        self.ln_post = nn.LayerNorm(text_width)
        self.mlm_head = nn.Sequential(
            OrderedDict(
                dense=nn.Linear(text_width, text_width),
                gelu=QuickGELU(),
                ln=nn.LayerNorm(text_width),
                fc=nn.Linear(text_width, vocab_size),
            )
        )
        self._init_parameters(text_width, layers)

    def _init_parameters(self, width: int, layers: int) -> None:
        scale = width**-0.5
        proj_std = scale * (2 * layers) ** -0.5
        fc_std = (2 * width) ** -0.5
        blocks = self.cross_modal_transformer.resblocks
        for attention in [self.cross_attn, *(b.attn for b in blocks)]:
            for name, weight in attention.named_parameters():
                if name.endswith('proj_weight'):
                    nn.init.normal_(weight, std=scale)
            nn.init.normal_(attention.out_proj.weight, std=proj_std)
        for block in blocks:
            nn.init.normal_(block.mlp.c_fc.weight, std=fc_std)
            nn.init.normal_(block.mlp.c_proj.weight, std=proj_std)
        head: Any = self.mlm_head
        nn.init.normal_(head.dense.weight, std=fc_std)
        nn.init.normal_(head.fc.weight, std=proj_std)

    def fuse(self, text_tokens: Tensor, image_tokens: Tensor) -> Tensor:
        """Let text tokens look at the image.

        Args:
            text_tokens (Tensor): Of shape (B, L, Wt).
            image_tokens (Tensor): Of shape (B, N, Wi).

        Returns:
            Tensor: Of shape (B, L, Wt).
        """
        image = self.ln_pre_i(image_tokens)  # (B, N, Wi)
        fused, _ = self.cross_attn(
            self.ln_pre_t(text_tokens), image, image, need_weights=False
        )  # (B, L, Wt)
        return self.ln_post(self.cross_modal_transformer(fused))

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """Mean cross-entropy of the masked tokens, 0 if there are none.

        Only masked tokens meet the vocabulary, which saves most of the
        memory.

        Raises:
            ValueError: If the batch has no masked captions.
        """
        if features.mlm_labels is None:
            raise ValueError(
                'MLMLoss needs masked captions: add dict(type='
                "'mmtpr.MaskTokens') after 'mmtpr.TokenizeCaption' in the "
                'training pipeline.'
            )
        text: Any = features.mlm_text_tokens
        image: Any = features.image_tokens
        fused = self.fuse(text, image)
        index = features.mlm_index
        if index is None:
            index = hidden_rows(features.mlm_labels)
        masked = fused.flatten(0, 1).index_select(0, index)  # (H, Wt)
        logits = self.mlm_head(masked)  # (H, vocab_size)
        labels = features.mlm_labels.flatten()[index]  # (H,)
        return hidden_word_entropy(logits, labels)
