"""Pairs drawn by the procedural world, whose truth is known."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmtpr.registry import SYNTHESIS
from mmtpr.synthesis import Identity, ProceduralWorld
from mmtpr.synthesis.composed import same_clothes
from mmtpr.synthesis.identities import random_identity

from ..faults import check_rates, draw_fault
from .base import Pair, PairRenderer, RenderRequest
from .damage import DAMAGES, damage

_FAULT, _HOW = 52, 53  # streams of randomness
#: Numbers of people that no record has.
_OTHERS = 2**31


@SYNTHESIS.register_module()
class ProceduralRenderer(PairRenderer):
    """The people that :class:`GrammarWriter` wrote of.

    On purpose it fails at known rates, where the record itself is right;
    ``truth`` of a row says so, which no judge reads.

    Args:
        size (tuple[int, int]): Height and width of an image in pixels.
            Defaults to (128, 64).
        faults (Mapping[str, float], optional): Share of the pairs of right
            records of each fault: ``another_look``, the target shows somebody
            else; ``same_clothes``, somebody else in the clothes of the
            target; ``damaged``, one or both images are damaged. Defaults to
            None, none.
        world_seed (int): Seed of the world. Defaults to 0.
        quality (float): See :class:`mmtpr.synthesis.ProceduralWorld`.
            Defaults to 1.
    """

    name = 'procedural'
    kinds = ('another_look', 'same_clothes', 'damaged')

    def __init__(
        self,
        size: Sequence[int] = (128, 64),
        faults: Mapping[str, float] | None = None,
        world_seed: int = 0,
        quality: float = 1.0,
    ) -> None:
        self.faults = check_rates(faults or {}, self.kinds)
        height, width = size
        self.world = ProceduralWorld((height, width), world_seed, quality)

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairRenderer.settings`."""
        return dict(
            renderer='ProceduralRenderer',
            size=list(self.world.size),
            faults=self.faults,
            world_seed=self.world.seed,
            quality=self.world.quality,
        )

    def render(
        self, requests: Sequence[RenderRequest]
    ) -> Iterator[tuple[RenderRequest, Pair]]:
        """See :meth:`PairRenderer.render`."""
        for request in requests:
            yield request, self._draw(request)

    def _draw(self, request: RenderRequest) -> Pair:
        spec = request.record.get('spec')
        if not spec:
            return Pair(None, None, problem='the record has no people to draw')
        before, after = (Identity(**spec[k]) for k in ('before', 'after'))
        rng = np.random.default_rng([_HOW, request.seed])
        fault = ''
        if not request.record.get('truth', {}).get('fault'):
            fault = draw_fault(self.faults, _FAULT, request.seed)
        if fault == 'another_look':
            after = random_identity(rng, _OTHERS + request.seed)
        elif fault == 'same_clothes':
            seed = self.world.seed
            after = same_clothes(after, _OTHERS + request.seed, seed)
        views = 2 * request.seed, 2 * request.seed + 1
        reference = self.world.draw(before, views[0])
        target = self.world.draw(after, views[1])
        truth: dict[str, Any] = dict(fault=fault) if fault else {}
        if fault == 'damaged':
            how = DAMAGES[int(rng.integers(len(DAMAGES)))]
            where = ('reference', 'target', 'both')[int(rng.integers(3))]
            if where != 'target':
                reference = damage(reference, how, rng)
            if where != 'reference':
                target = damage(target, how, rng)
            truth |= dict(how=how, where=where)
        return Pair(reference, target, more=dict(truth=truth))
