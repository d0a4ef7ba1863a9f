"""TINet: an image feature becomes a word."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtpr.registry import MODELS


@MODELS.register_module()
class TINet(BaseModule):
    """Textual inversion network of Word4Per (arXiv 2311.16515 v1-v3).

    ``num_layers`` times [Linear, Dropout, ReLU], then a linear layer into the
    width of the text tower's token embeddings.

    Args:
        in_dim (int): Dimension of the un-normalised projected image feature.
        out_dim (int): Width of the token embeddings.
        hidden_dim (int): Width of the hidden layers. Defaults to 512.
        num_layers (int): Number of hidden layers. Defaults to 2.
        num_words (int): Pseudo words per image. Defaults to 1.
        dropout (float): Dropout rate. Defaults to 0.1.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        hidden_dim: int = 512,
        num_layers: int = 2,
        num_words: int = 1,
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_words < 1:
            raise ValueError(f'num_words must be >= 1, got {num_words}.')
        self.num_words = num_words
        self.out_dim = out_dim
        widths = [in_dim] + [hidden_dim] * num_layers
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, hidden_dim), nn.Dropout(dropout), nn.ReLU()
            )
            for width in widths[:-1]
        )
        self.fc_out = nn.Linear(widths[-1], num_words * out_dim)

    def forward(self, image_feats: Tensor) -> Tensor:
        """Invert image features into pseudo words.

        Args:
            image_feats (Tensor): Un-normalised projected image features of
                shape (B, in_dim).

        Returns:
            Tensor: Pseudo words of shape (B, num_words, out_dim).
        """
        x = image_feats
        for layer in self.layers:
            x = layer(x)
        return self.fc_out(x).unflatten(1, (self.num_words, self.out_dim))
