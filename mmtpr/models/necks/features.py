"""Features of queries and targets in composed retrieval."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class QueryFeatures:
    """Features of B composed queries.

    Attributes:
        feats (Tensor): Query vectors of shape (B, D).
        raw (Tensor): What masked feature reasoning takes, (B, R): features
            before projection of an encoder that makes queries itself,
            projected ones of a dual encoder.
        rows (dict[str, Tensor]): Other queries to be evaluated beside,
            (B, D) by name.
        cut (Tensor, optional): Whether a caption was cut, (B, ) bool.
    """

    feats: Tensor
    raw: Tensor
    rows: dict[str, Tensor] = field(default_factory=dict)
    cut: Tensor | None = None


@dataclass
class TargetFeatures:
    """Features of N images that may be found.

    Attributes:
        tokens (Tensor): Vectors of shape (N, T, D).
        raw (Tensor): What masked feature reasoning takes, (N, R), likewise.
        pooled (Tensor, optional): One vector for each image, (N, D), to
            which the other rows of an evaluation are compared.
    """

    tokens: Tensor
    raw: Tensor
    pooled: Tensor | None = None
