"""Head of FAFA."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtpr.models.losses.composition_ranking import composition_ranking_loss
from mmtpr.models.losses.fine_grained import (
    SAME_ID_WEIGHTS,
    MaskedFeatureReasoning,
    fda_loss,
    fda_similarity,
    feature_diversity_loss,
)
from mmtpr.models.losses.functional import upcast
from mmtpr.models.temperature import FAFA_BOUNDS, bounded
from mmtpr.registry import MODELS
from mmtpr.utils.deprecation import renamed_argument
from mmtpr.utils.precision import full_precision


@MODELS.register_module()
class FAFAHead(BaseModule):
    """FDA + FD + MFR between query vectors and target tokens.

    Fine-grained dynamic alignment, feature diversity and masked feature
    reasoning (arXiv 2311.16515 v4), whatever encoder made the features.
    Where the paper and its release differ, ``variant`` chooses; the default
    is the release, which the parity case pins: equal ids count 1, the two
    directions are averaged, and diversity pools tokens of the whole batch.
    The paper's are 0.5, summed, and within an image.

    Beyond the paper, ``cpl_weight`` adds the ranking loss of composition
    (:func:`mmtpr.models.losses.composition_ranking_loss`): the true pair of
    image and sentence above those mixed in the batch. The retriever makes
    ``cpl_partners`` more compositions of each image, which costs as many
    forward and backward passes of what fuses image and sentence. With
    ``mmtpr.PseudoWordQuery`` that is the text tower, and the image tower does
    not run again; an encoder that makes queries itself, as BLIP-2 does, reads
    the references again.

    Args:
        raw_dim (int, optional): Width of the raw features that MFR takes.
            Filled in by the retriever.
        topk_tokens (int): Tokens of a target that count. Defaults to 6.
        temperature (float, optional): Divisor of similarities. None takes
            what :meth:`forward` is given. Defaults to 0.07.
        learn_temperature (bool): Whether it trains. Defaults to False.
        variant (str): ``'released'`` or ``'paper'``.
        same_id_weight (float, optional): Label of another pair of the same
            id. Defaults to None: 1.0 if released, 0.5 in the paper.
        fda_weight (float): Factor of FDA. Defaults to 1.0.
        fd_weight (float): Factor of FD; 0 leaves it out. Defaults to 1.0.
        mfr_weight (float): Factor of MFR; 0 leaves it out. Defaults to 0.5.
        margin (float): Cosine that FD does not punish. Defaults to 0.5.
        max_tokens (int): Tokens that the released FD pools. Defaults to 1024.
        hidden_dim (int): Width of MFR's MLP. Defaults to 512.
        mask_ratio (float): Share of dimensions MFR masks. Defaults to 0.3.
        noise (dict, optional): Module that perturbs target tokens in
            training, such as ``dict(type='mmtpr.TokenStatisticsNoise')``,
            as the release does. Defaults to None.
        init_cfg (dict, optional): Initialization config.
        topk (int, optional): Former name of ``topk_tokens``.
        cpl_weight (float): Factor of the ranking loss of composition; 0
            leaves it out. Defaults to 0.0.
        cpl_partners (int): Triplets whose sentence each image is mixed with
            for it. Defaults to 1.

    Raises:
        ValueError: If an argument is out of range, or MFR lacks ``raw_dim``.
    """

    def __init__(
        self,
        raw_dim: int | None = None,
        topk_tokens: int = 6,
        temperature: float | None = 0.07,
        learn_temperature: bool = False,
        variant: str = 'released',
        same_id_weight: float | None = None,
        fda_weight: float = 1.0,
        fd_weight: float = 1.0,
        mfr_weight: float = 0.5,
        margin: float = 0.5,
        max_tokens: int = 1024,
        hidden_dim: int = 512,
        mask_ratio: float = 0.3,
        noise: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
        topk: int | None = None,
        cpl_weight: float = 0.0,
        cpl_partners: int = 1,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        topk_tokens = renamed_argument(
            'FAFAHead', 'topk', 'topk_tokens', topk, topk_tokens
        )
        if variant not in SAME_ID_WEIGHTS:
            raise ValueError(
                f'variant must be one of {tuple(SAME_ID_WEIGHTS)}, got '
                f'{variant!r}.'
            )
        if topk_tokens < 1:
            raise ValueError(
                f'topk_tokens must be at least 1, got {topk_tokens}.'
            )
        if cpl_weight < 0 or cpl_partners < 1:
            raise ValueError(
                f'cpl_weight={cpl_weight} must be at least 0 and '
                f'cpl_partners={cpl_partners} at least 1.'
            )
        if same_id_weight is None:
            same_id_weight = SAME_ID_WEIGHTS[variant]
        self.topk_tokens, self.variant = topk_tokens, variant
        self.same_id_weight = same_id_weight
        self.fda_weight, self.fd_weight = fda_weight, fd_weight
        self.margin, self.max_tokens = margin, max_tokens
        self.mfr_weight = mfr_weight
        self.cpl_weight, self.cpl_partners = cpl_weight, cpl_partners
        self._set_temperature(temperature, learn_temperature)
        self.noise = MODELS.build(noise) if isinstance(noise, dict) else noise
        self.reasoning: Any = None
        if mfr_weight:
            if raw_dim is None:
                raise ValueError(
                    'FAFAHead needs raw_dim, the width of the features that '
                    'MFR takes, or mfr_weight=0.'
                )
            self.reasoning = MaskedFeatureReasoning(
                raw_dim, hidden_dim, mask_ratio
            )

    def check_tokens(self, number: int | None) -> None:
        """Check that ``topk_tokens`` tokens can be chosen.

        Args:
            number (int, optional): Tokens T of a target, None if they are
                not known before an image is seen.

        Raises:
            ValueError: If ``topk_tokens`` exceeds T.
        """
        if number is not None and self.topk_tokens > number:
            raise ValueError(
                f'topk_tokens={self.topk_tokens} of FAFAHead does not fit '
                f'targets of {number} tokens: choose 1..{number}, or a target '
                'of more tokens, such as '
                "target=dict(type='mmtpr.PatchTokens')."
            )

    def _set_temperature(self, temperature: float | None, learn: bool) -> None:
        if temperature is None:
            self.temperature = None
            return
        if temperature <= 0:
            raise ValueError(f'temperature must be > 0, got {temperature}.')
        start = torch.tensor(float(temperature))
        self.temperature = nn.Parameter(start, requires_grad=learn)

    def forward(
        self,
        query: Tensor,
        tokens: Tensor,
        ids: Tensor,
        query_raw: Tensor | None = None,
        target_raw: Tensor | None = None,
        temperature: Tensor | float | None = None,
        mixed: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of B triplets.

        Args:
            query (Tensor): Query vectors of shape (B, D), normalised inside.
            tokens (Tensor): Tokens of the targets, (B, T, D), likewise.
            ids (Tensor): Group ids of shape (B, ).
            query_raw (Tensor, optional): Features for MFR, (B, raw_dim).
            target_raw (Tensor, optional): Features for MFR, (B, raw_dim).
            temperature (Tensor | float, optional): Used where the head has
                none of its own.
            mixed (tuple[Tensor, Tensor], optional): For ``cpl_weight``:
                vectors (K, B, D) of each image with the sentences of others,
                normalised inside, and who these are, (K, B), from
                :func:`mmtpr.models.losses.swap_partners`.

        Returns:
            dict[str, Tensor]: ``loss_fda``, ``loss_fd``, ``loss_mfr``,
            ``loss_cpl``, each with its weight.

        Raises:
            ValueError: If ``topk_tokens`` exceeds T, or a part is missing.
        """
        query, tokens = upcast(query), upcast(tokens)
        with full_precision(query.device):
            if self.noise is not None:
                tokens = self.noise(tokens)
            query = F.normalize(query, dim=-1)
            tokens = F.normalize(tokens, dim=-1)
            similarity = fda_similarity(query, tokens, self.topk_tokens)
        # Once for all losses: it bounds a learned one in place.
        divisor = self._divisor(temperature)
        losses = dict(
            loss_fda=self.fda_weight
            * fda_loss(
                similarity,
                ids,
                divisor,
                self.same_id_weight,
                self.variant,
            )
        )
        if self.fd_weight:
            losses['loss_fd'] = self.fd_weight * feature_diversity_loss(
                tokens, self.margin, self.variant, self.max_tokens
            )
        if self.reasoning is not None:
            losses['loss_mfr'] = self.mfr_weight * self._reason(
                query_raw, target_raw
            )
        if self.cpl_weight:
            losses['loss_cpl'] = self.cpl_weight * self._rank(
                query, mixed, tokens, ids, divisor
            )
        return losses

    def _rank(self, query, mixed, tokens, ids, divisor) -> Tensor:
        if mixed is None:
            raise ValueError(
                'cpl_weight takes compositions with the sentences of other '
                'triplets, which mmtpr.ComposedPersonRetriever makes; set '
                'cpl_weight=0 to do without.'
            )
        vectors, partners = mixed
        with full_precision(query.device):
            vectors = F.normalize(upcast(vectors), dim=-1)  # (K, B, D)
        return composition_ranking_loss(
            query, vectors, partners, tokens, ids, divisor, self.topk_tokens
        )

    def _divisor(self, given: Tensor | float | None) -> Tensor | float:
        if self.temperature is not None:
            return bounded(self.temperature, FAFA_BOUNDS, self.training)
        if given is None:
            raise ValueError(
                'FAFAHead(temperature=None) takes the temperature of the '
                'encoder, which has none.'
            )
        return given

    def _reason(self, query: Tensor | None, target: Tensor | None) -> Tensor:
        if query is None or target is None:
            raise ValueError(
                'MFR takes the features before projection of query and '
                'target; set mfr_weight=0 to do without.'
            )
        return self.reasoning(upcast(query), upcast(target))
