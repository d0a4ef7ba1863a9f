"""The first stage: metadata become quadruples."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.numbers import check_whole

from .block_files import DROPPED, Row
from .metadata import check_lists, record_seed, sample_metadata
from .stage import Stage
from .stage_folder import StageFolder
from .writers import Answer, QuadrupleCheck, QuadrupleWriter, Request
from .writers.check import normalised

_STREAM = 32
_DUPLICATE = 'the same as another record but for small words'


class WriteStage(Stage):
    """Writes quadruples, checks them and asks again.

    Args:
        num (int): Records.
        metadata (Mapping[str, Sequence[str]]): Values by field, drawn evenly.
        writer (dict | QuadrupleWriter): Who writes.
        check (Mapping, optional): Arguments of :class:`QuadrupleCheck`.
            Defaults to None.
        attempts (int): How often a record is asked for before it is dropped.
            Defaults to 3.
        block_size (int): Records of a block. Defaults to 250.
        seed (int): Defaults to 0.
    """

    name: ClassVar[str] = 'write'
    unit: ClassVar[str] = 'records'

    def __init__(
        self,
        num: int,
        metadata: Mapping[str, Sequence[str]],
        writer: Any,
        check: Mapping[str, Any] | None = None,
        attempts: int = 3,
        block_size: int = 250,
        seed: int = 0,
    ) -> None:
        check_whole('write.num', num)
        check_whole('write.attempts', attempts)
        check_whole('write.block_size', block_size)
        check_whole('write.seed', seed, least=0)
        check_lists(metadata)
        self.num, self.seed = num, seed
        self.metadata = {k: [*values] for k, values in metadata.items()}
        self.attempts, self.block_size = attempts, block_size
        self.check = QuadrupleCheck(**(check or {}))
        self.writer: QuadrupleWriter = (
            SYNTHESIS.build(writer) if isinstance(writer, dict) else writer
        )

    def settings(self) -> dict[str, Any]:
        """See :meth:`Stage.settings`."""
        return dict(
            num=self.num,
            metadata=self.metadata,
            # What is drawn depends on it.
            metadata_order=[*self.metadata],
            writer=self.writer.settings(),
            check=vars(self.check),
            attempts=self.attempts,
            block_size=self.block_size,
            seed=self.seed,
        )

    @property
    def sources(self) -> Sequence[StageFolder]:
        """See :attr:`Stage.sources`."""
        return ()

    @property
    def num_blocks(self) -> int:
        """See :attr:`Stage.num_blocks`."""
        return -(-self.num // self.block_size)

    def items(self, block: int) -> list[tuple[str, Request]]:
        """See :meth:`Stage.items`."""
        start = block * self.block_size
        stop = min(self.num, start + self.block_size)
        out = []
        for index in range(start, stop):
            key = f'{index:06d}'
            about = sample_metadata(self.metadata, index, self.seed)
            seed = record_seed(self.seed, _STREAM, index, 0)
            out.append((key, Request(key, index, about, seed)))
        return out

    def process(self, items: Sequence[tuple[str, Request]]) -> Iterator[Row]:
        """See :meth:`Stage.process`."""
        waiting = [request for _, request in items]
        while waiting:
            again = []
            for request, answer in self.writer.answer(waiting):
                problem = answer.problem
                if answer.quadruple is not None:
                    problem = self.check.problem(
                        answer.quadruple, request.metadata
                    )
                if not problem:
                    yield self._row(request, answer)
                elif request.attempt + 1 < self.attempts:
                    number = request.attempt + 1
                    seed = record_seed(
                        self.seed, _STREAM, request.index, number
                    )
                    again.append(request.again(problem, seed))
                else:
                    yield dict(
                        self._row(request, answer), **{DROPPED: problem}
                    )
            waiting = again

    def finish(self, folder: StageFolder) -> dict[str, Any]:
        """Drop near-duplicates: of those that are alike the first stays.

        Args:
            folder (StageFolder): With all blocks.

        Returns:
            dict[str, Any]: ``excluded``, keys by reason.
        """
        seen: set[bytes] = set()
        twice = []
        for row in folder.read_all():
            text = '|'.join(
                normalised(row[name])
                for name in ('reference_caption', 'target_caption')
            )
            digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
            if digest in seen:
                twice.append(row['key'])
            seen.add(digest)
        return dict(excluded={_DUPLICATE: twice} if twice else {})

    def _row(self, request: Request, answer: Answer) -> Row:
        row: Row = dict(key=request.key, index=request.index)
        if answer.quadruple is not None:
            row |= answer.quadruple.to_dict()
        return row | dict(
            metadata=dict(request.metadata),
            model=self.writer.model,
            prompt_version=self.writer.prompt_version,
            seed=request.seed,
            raw=answer.raw,
            **answer.more,
        )
