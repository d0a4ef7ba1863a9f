"""Quadruples by the grammar of the procedural world, whose truth is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mmtpr.registry import SYNTHESIS
from mmtpr.synthesis import Identity, ProceduralWorld
from mmtpr.synthesis.changes import ChangeWriter, change_outfit
from mmtpr.synthesis.identities import random_identity

from ..faults import check_rates, draw_fault
from .base import Answer, QuadrupleWriter, Request
from .quadruple import Quadruple

_PERSON, _FAULT = 41, 42  # streams of randomness
_TOLD = 3  # attributes that a wrong caption gets wrong


@SYNTHESIS.register_module()
class GrammarWriter(QuadrupleWriter):
    """People with two outfits, in sentences of a grammar.

    On purpose it fails at known rates; ``truth`` of a record says so, which
    no judge reads.

    Args:
        faults (Mapping[str, float], optional): Share of the records of each
            fault: ``wrong_change``, sentences that tell another change, and
            ``wrong_caption``, a target caption of which three attributes are
            wrong. Defaults to None, none.
        world_seed (int): Seed of the world. Defaults to 0.
        variety (float): How often texts depart from the usual words, in
            [0, 1]. Defaults to 0.25.
    """

    model = 'grammar'
    kinds = ('wrong_change', 'wrong_caption')

    def __init__(
        self,
        faults: Mapping[str, float] | None = None,
        world_seed: int = 0,
        variety: float = 0.25,
    ) -> None:
        self.faults = check_rates(faults or {}, self.kinds)
        self.world = ProceduralWorld(seed=world_seed, variety=variety)

    def settings(self) -> dict[str, Any]:
        """See :meth:`QuadrupleWriter.settings`."""
        return dict(
            writer='GrammarWriter',
            faults=self.faults,
            world_seed=self.world.seed,
            variety=self.world.variety,
        )

    def answer(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[Request, Answer]]:
        """See :meth:`QuadrupleWriter.answer`."""
        for request in requests:
            yield request, self._write(request)

    def _write(self, request: Request) -> Answer:
        rng = np.random.default_rng([_PERSON, request.seed])
        before = random_identity(rng, request.index)
        before = _of_gender(before, request.metadata.get('gender', ''))
        after, changes = change_outfit(before, rng)
        told_after, told = after, changes
        fault = draw_fault(self.faults, _FAULT, request.seed)
        while fault == 'wrong_change' and told_after in (after, before):
            told_after, told = change_outfit(before, rng)
        back = [change.reversed() for change in told]
        variety = self.world.variety
        found = Quadruple(
            self.world.describe(before, 0),
            self.world.describe(
                after, 1, errors=_TOLD if fault == 'wrong_caption' else 0
            ),
            ChangeWriter(before, rng, variety).tell(told_after, told),
            ChangeWriter(told_after, rng, variety).tell(before, back),
        )
        spec = dict(before=asdict(before), after=asdict(after))
        return Answer(found, more=dict(spec=spec, truth=dict(fault=fault)))


def _of_gender(identity: Identity, gender: str) -> Identity:
    if gender not in ('man', 'woman') or gender == identity.gender:
        return identity
    if gender == 'man' and identity.bottom == 'skirt':
        identity = replace(identity, bottom='trousers')
    return replace(identity, gender=gender)
