"""The second stage: each quadruple becomes pairs of images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.numbers import check_whole

from .block_files import DROPPED, Row
from .image_files import MOST_FILES, SIDES, ImageFiles
from .metadata import record_seed
from .renderers import Pair, PairRenderer, RenderRequest
from .stage import Stage
from .stage_folder import StageFolder

_STREAM = 51
#: Pairs of a record, as published.
_PER_RECORD = 10


class RenderStage(Stage):
    """Renders pairs and writes their images.

    Args:
        source (StageFolder): The folder of the first stage.
        images (str | PathLike): Folder of the images.
        renderer (dict | PairRenderer): Who renders.
        per_record (int, optional): Pairs of a record. Defaults to None: what
            the renderer says, else 10.
        seed (int): Defaults to 0.
        quality (int): Of the JPEG files, 1 to 100. Defaults to 95.
    """

    name: ClassVar[str] = 'render'
    unit: ClassVar[str] = 'pairs'

    def __init__(
        self,
        source: StageFolder,
        images: str | Path,
        renderer: Any,
        per_record: int | None = None,
        seed: int = 0,
        quality: int = 95,
    ) -> None:
        self.source, self.seed = source, seed
        self.renderer: PairRenderer = (
            SYNTHESIS.build(renderer)
            if isinstance(renderer, dict)
            else renderer
        )
        own = self.renderer.per_record
        if own is not None and per_record not in (None, own):
            raise ValueError(
                f'render.per_record is {per_record}, but the renderer makes '
                f'{own} pairs of a record. Leave one of them out.'
            )
        told = own if per_record is None else per_record
        self.per_record: int = _PER_RECORD if told is None else told
        most = MOST_FILES // len(SIDES)
        check_whole('render.per_record', self.per_record, most=most)
        check_whole('render.quality', quality, most=100)
        check_whole('render.seed', seed, least=0)
        self.images = ImageFiles(Path(images), self.per_record, quality)

    def settings(self) -> dict[str, Any]:
        """See :meth:`Stage.settings`."""
        return dict(
            renderer=self.renderer.settings(),
            per_record=self.per_record,
            seed=self.seed,
            quality=self.images.quality,
        )

    @property
    def sources(self) -> Sequence[StageFolder]:
        """See :attr:`Stage.sources`."""
        return (self.source,)

    @property
    def num_blocks(self) -> int:
        """See :attr:`Stage.num_blocks`."""
        return self.source.num_blocks

    def items(self, block: int) -> list[tuple[str, RenderRequest]]:
        """See :meth:`Stage.items`."""
        out = []
        for row in self.source.read(block):
            for pair in range(self.per_record):
                key = f'{row["key"]}-{pair:02d}'
                seed = record_seed(self.seed, _STREAM, row['index'], pair)
                out.append((key, RenderRequest(key, row, pair, seed)))
        return out

    def process(
        self, items: Sequence[tuple[str, RenderRequest]]
    ) -> Iterator[Row]:
        """See :meth:`Stage.process`."""
        requests = [request for _, request in items]
        for request, pair in self.renderer.render(requests):
            yield self._row(request, pair)

    def files(self, items: Sequence[tuple[str, RenderRequest]]) -> list[Path]:
        """See :meth:`Stage.files`."""
        return [
            self.images.folder
            / self.images.name(key, request.record['index'], side)
            for key, request in items
            for side in SIDES
        ]

    def _row(self, request: RenderRequest, pair: Pair) -> Row:
        record = request.record
        row: Row = dict(
            key=request.key, index=record['index'], pair=request.pair
        )
        # The images first: a row stands for files that are there.
        if not pair.problem:
            for side in SIDES:
                name = self.images.name(request.key, record['index'], side)
                self.images.write(name, getattr(pair, side))
                row[f'{side}_image'] = name
        row |= dict(
            seed=request.seed,
            beta=pair.beta,
            renderer=self.renderer.name,
            prompt_version=self.renderer.prompt_version,
        )
        if pair.problem:
            row[DROPPED] = pair.problem
        more = dict(pair.more)
        truth = {**record.get('truth', {}), **more.pop('truth', {})}
        return row | more | (dict(truth=truth) if truth else {})
