"""The third stage: scores of the pairs, a folder a judge."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.images import image_problem
from mmtpr.utils.warn import warn

from .block_files import Row
from .image_files import SIDES
from .judges import JudgeRequest, PairJudge, Verdict
from .judges.base import TEXTS
from .stage import Stage
from .stage_folder import StageFolder

_STREAM = 61
#: Pairs that are given to a judge at once.
_PART = 256
#: Images are decoded by so many threads while a judge is at work.
_THREADS = 4
#: Pairs of one block in a sample at least, so that few blocks are read.
_LEAST = 16
#: Pairs that a warning names.
_SHOWN = 5


class JudgeStage(Stage):
    """Scores the pairs of a run with one judge.

    Args:
        records (StageFolder): The folder of the first stage.
        pairs (StageFolder): The folder of the second stage.
        images (str | PathLike): Folder of the images.
        judge (dict | PairJudge): Who judges.
    """

    name: ClassVar[str] = 'judge'
    unit: ClassVar[str] = 'pairs'

    def __init__(
        self,
        records: StageFolder,
        pairs: StageFolder,
        images: str | Path,
        judge: Any,
    ) -> None:
        self.records, self.pairs = records, pairs
        self.images = Path(images)
        self.judge: PairJudge = (
            SYNTHESIS.build(judge) if isinstance(judge, dict) else judge
        )
        self._is_prepared = False
        # The last bits of an embedding depend on what shares its batch.
        self.part = _PART if self.judge.in_batches else 1

    def settings(self) -> dict[str, Any]:
        """See :meth:`Stage.settings`."""
        return dict(
            judge=self.judge.settings(), fields=sorted(self.judge.worst)
        )

    @property
    def sources(self) -> Sequence[StageFolder]:
        """See :attr:`Stage.sources`."""
        return self.records, self.pairs

    @property
    def num_blocks(self) -> int:
        """See :attr:`Stage.num_blocks`."""
        return self.pairs.num_blocks

    def items(self, block: int) -> list[tuple[str, JudgeRequest]]:
        """See :meth:`Stage.items`."""
        texts = {
            row['index']: {name: row[name] for name in TEXTS}
            for row in self.records.read(block)
        }
        return [
            (
                row['key'],
                JudgeRequest(
                    row['key'],
                    row['index'],
                    texts[row['index']],
                    *(self.images / row[f'{side}_image'] for side in SIDES),
                ),
            )
            for row in self.pairs.read(block)
        ]

    def process(
        self, items: Sequence[tuple[str, JudgeRequest]]
    ) -> Iterator[Row]:
        """See :meth:`Stage.process`."""
        if not self._is_prepared:
            self.judge.prepare(self.sample)
            self._is_prepared = True
        with closing(_looked_at([one for _, one in items])) as parts:
            for part in parts:
                readable = []
                for request, problem in part:
                    if problem:
                        worst = dict(self.judge.worst)
                        verdict = Verdict(worst, True, problem)
                        yield self._row(request, verdict)
                    else:
                        readable.append(request)
                for request, verdict in self.judge.judge(readable):
                    yield self._row(request, verdict)

    def sample(self, number: int) -> list[JudgeRequest]:
        """Take pairs that stand for the run.

        The same ones in every process, and after a kill. Of as many records
        as there are: no second pair of a record before all have one.

        Args:
            number (int): How many at most.

        Returns:
            list[JudgeRequest]: Pairs whose images can be read.
        """
        rng = np.random.default_rng(_STREAM)
        blocks = rng.permutation(self.num_blocks)
        each = max(_LEAST, -(-number // len(blocks)))
        found: list[JudgeRequest] = []
        for block in blocks:
            by_record: dict[int, list[JudgeRequest]] = {}
            for _, request in self.items(int(block)):
                by_record.setdefault(request.index, []).append(request)
            groups = [by_record[i] for i in rng.permutation([*by_record])]
            turns = max(map(len, groups), default=0)
            ordered = [
                group[turn]
                for turn in range(turns)
                for group in groups
                if turn < len(group)
            ]
            good = (one for one in ordered if not _problem(one))
            found += [one for one, _ in zip(good, range(each), strict=False)]
            if len(found) >= number:
                break
        return found[:number]

    def finish(self, folder: StageFolder) -> dict[str, Any]:
        """Count what could not be read, and say how the scores lie.

        Args:
            folder (StageFolder): With all blocks.

        Returns:
            dict[str, Any]: ``unreadable``, of these ``unanswered``, and
            ``fields`` with the least, mean and greatest score.
        """
        unreadable = total = 0
        unanswered: list[str] = []
        sums = dict.fromkeys(self.judge.worst, 0.0)
        least = dict.fromkeys(sums, float('inf'))
        most = dict.fromkeys(sums, float('-inf'))
        for row in folder.read_all():
            total += 1
            unreadable += bool(row.get('unreadable'))
            if row.get('unanswered'):
                unanswered.append(row['key'])
            for name, score in row['scores'].items():
                sums[name] += score
                least[name] = min(least[name], score)
                most[name] = max(most[name], score)
        if unreadable:
            warn(
                f'Of {unreadable:,} of {total:,} pairs an image or an answer '
                'could not be read; they have the worst scores. "raw" of '
                f'their rows in "{folder.folder}" says what was there.'
            )
        if unanswered:
            shown = ', '.join(unanswered[:_SHOWN])
            more = ', ...' if len(unanswered) > _SHOWN else ''
            warn(
                f'To {len(unanswered):,} of these pairs no answer came from '
                f'the server, asked again and again: {shown}{more}.'
            )
        fields = {
            name: dict(least=least[name], mean=sums[name] / total, most=top)
            for name, top in most.items()
            if total
        }
        return dict(
            unreadable=unreadable, unanswered=len(unanswered), fields=fields
        )

    def _row(self, request: JudgeRequest, verdict: Verdict) -> Row:
        row: Row = dict(key=request.key, scores=verdict.scores)
        if self.judge.prompt_version:
            row['prompt_version'] = self.judge.prompt_version
        if verdict.unreadable:
            row['unreadable'] = True
        if verdict.unanswered:
            row['unanswered'] = True
        if verdict.raw is not None:
            row['raw'] = verdict.raw
        return row


def _looked_at(
    requests: Sequence[JudgeRequest],
) -> Generator[list[tuple[JudgeRequest, str]], None, None]:
    """Cut pairs into parts; say what is wrong with the images of each.

    The images of the next part are decoded while the caller has one, so that
    neither a server nor a GPU waits for them.
    """
    starts = range(0, len(requests), _PART)
    parts = [requests[start : start + _PART] for start in starts]
    pool = ThreadPoolExecutor(_THREADS)
    ahead: list[tuple[JudgeRequest, Future[str]]] = []
    try:
        for part in (*parts, ()):
            begun = [(one, pool.submit(_problem, one)) for one in part]
            if ahead:
                yield [(one, found.result()) for one, found in ahead]
            ahead = begun
    finally:
        pool.shutdown(cancel_futures=True)


def _problem(request: JudgeRequest) -> str:
    """Say which image of a pair cannot be read and why."""
    for side in SIDES:
        problem = image_problem(getattr(request, side))
        if problem:
            return f'{side} image: {problem}'
    return ''
