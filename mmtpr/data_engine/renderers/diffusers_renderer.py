"""Pairs as the two halves of one generated image."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mmtpr.registry import SYNTHESIS

from ..metadata import record_seed
from .base import Pair, PairRenderer, RenderRequest
from .diffusion import DiffusionModel
from .prompt import PANELS_VERSION, panels_prompt

_BETA = 54  # stream of randomness
REFUSED = 'refused by the filter of the pipeline'
PLAIN = 'an image of one colour'
TOO_LONG = 'the prompt is longer than the pipeline reads'


@SYNTHESIS.register_module()
class DiffusersRenderer(PairRenderer):
    """One image of two panels, cut in the middle.

    Any text-to-image pipeline of diffusers. With a LoRA, as published, some
    pairs of a record are rendered at its full weight (beta = 1) and some at a
    weight drawn between 0 and 1. Pairs of one beta share a batch. Each image
    has a random generator of its own, so that a pair depends on its record
    and seed and not on its batch; kernels of a GPU may still round
    differently for another batch size, which shows in the last bits of an
    image. Needs the extra ``[synthesis]``.

    Args:
        model (str): Name at the hub or folder of the pipeline.
        height (int): Of an image in pixels. Defaults to 1024.
        width (int): Likewise; what is rendered is twice as wide. Defaults to
            512.
        steps (int): Steps of denoising. Defaults to 4, for distilled models
            such as FLUX.1-schnell.
        guidance (float): Guidance scale. Defaults to 0.
        batch_size (int): Pairs rendered at once. Defaults to 1.
        lora (str, optional): File, folder or name at the hub of a LoRA.
            Defaults to None.
        num_full (int): With a LoRA, pairs of a record at beta = 1. Defaults
            to 5.
        num_random (int): With a LoRA, pairs at a random beta. Defaults to 5.
        **kwargs: Of :class:`DiffusionModel`: ``dtype``, ``device``,
            ``lora_file``, ``offload``, ``compile``, ``call``.
    """

    prompt_version = PANELS_VERSION

    def __init__(
        self,
        model: str,
        height: int = 1024,
        width: int = 512,
        steps: int = 4,
        guidance: float = 0.0,
        batch_size: int = 1,
        lora: str | None = None,
        num_full: int = 5,
        num_random: int = 5,
        **kwargs: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size must be positive, got {batch_size}.')
        if min(num_full, num_random) < 0 or num_full + num_random < 1:
            raise ValueError(
                'num_full and num_random must be counts of pairs, got '
                f'{num_full} and {num_random}.'
            )
        self.name, self.size = model, (height, width)
        self.batch_size, self.lora = batch_size, lora
        self.num_full, self.num_random = num_full, num_random
        self.per_record = num_full + num_random if lora else None
        self.model = DiffusionModel(
            model, steps, guidance, lora=lora, **kwargs
        )

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairRenderer.settings`."""
        counts = dict(num_full=self.num_full, num_random=self.num_random)
        return dict(
            renderer='DiffusersRenderer',
            prompt=self.prompt_version,
            size=list(self.size),
            **self.model.settings(),
            **(counts if self.lora else {}),
        )

    def beta(self, request: RenderRequest) -> float | None:
        """Choose the weight of the LoRA.

        Args:
            request (RenderRequest): The pair.

        Returns:
            float | None: 1 or between 0 and 1; None without a LoRA.
        """
        if not self.lora:
            return None
        if request.pair < self.num_full:
            return 1.0
        # Never quite 0 or 1; the digits that JSON and readers need.
        drawn = record_seed(request.seed, _BETA) % 9999
        return (drawn + 1) / 10_000

    def render(
        self, requests: Sequence[RenderRequest]
    ) -> Iterator[tuple[RenderRequest, Pair]]:
        """See :meth:`PairRenderer.render`."""
        groups: dict[float | None, list[RenderRequest]] = {}
        for request in requests:
            beta = self.beta(request)
            if not self.model.reads_whole(panels_prompt(request.record)):
                yield request, Pair(None, None, beta, TOO_LONG)
            else:
                groups.setdefault(beta, []).append(request)
        for beta, group in groups.items():
            for start in range(0, len(group), self.batch_size):
                batch = group[start : start + self.batch_size]
                yield from self._render_batch(batch, beta)

    def _render_batch(
        self, batch: Sequence[RenderRequest], beta: float | None
    ) -> Iterator[tuple[RenderRequest, Pair]]:
        height, width = self.size
        panels = self.model.generate(
            [panels_prompt(request.record) for request in batch],
            [request.seed for request in batch],
            (height, 2 * width),
            beta,
        )
        for request, image in zip(batch, panels, strict=True):
            if image is None:
                yield request, Pair(None, None, beta, REFUSED)
            else:
                left, right = image[:, :width], image[:, width:]
                yield request, checked_pair(left, right, beta)


def checked_pair(
    reference: np.ndarray, target: np.ndarray, beta: float | None = None
) -> Pair:
    """Make a pair, unless an image shows nothing at all.

    A pipeline that overflows in half precision gives black images.

    Args:
        reference (ndarray): RGB image, (H, W, 3), uint8.
        target (ndarray): Likewise.
        beta (float, optional): Weight of the LoRA. Defaults to None.

    Returns:
        Pair: The pair, or why there is none.
    """
    if any(np.ptp(image) == 0 for image in (reference, target)):
        return Pair(None, None, beta, PLAIN)
    return Pair(reference, target, beta)
