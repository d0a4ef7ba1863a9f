"""Triplets with their images in shards of WebDataset."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from mmtpr.datasets.packed_images.tar_index import INDEX, TABLE, index_shards
from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.lazy import require

from ..block_files import Row
from ..image_files import SIDES
from ..run_stage import clear_leftovers, run_stage
from ..stage import Stage
from ..stage_folder import StageFolder
from .triplet_files import TRAIN, VAL, read_triplets, triplet_file

#: Files of triplets by split.
FILES = dict(train=TRAIN, val=VAL)


@dataclass(frozen=True)
class _Span:
    """Where the triplets of a shard lie in their file."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f'{self.split}-{self.number:06d}'


@dataclass
class _Source:
    """A file of triplets, cut into shards."""

    spans: list[_Span] = field(default_factory=list)
    digest: str = ''


class ShardStage(Stage):
    """Writes the pairs of assembled triplets into tar files.

    A sample is a pair: ``KEY.reference.jpg``, ``KEY.target.jpg`` and
    ``KEY.json``, the list of its triplets, there and back, whose images are
    named by their members. Beside the shards are an index and the files of
    triplets for :class:`mmtpr.SynCPR`.

    Args:
        assembled (Path): Folder with the files of triplets.
        images (Path): Folder of the images.
        out (Path): Folder of the shards.
        shard_pairs (int): Pairs of a shard.

    Raises:
        ImportError: If webdataset is not installed.
    """

    name: ClassVar[str] = 'webdataset'
    unit: ClassVar[str] = 'shards'

    def __init__(
        self, assembled: Path, images: Path, out: Path, shard_pairs: int
    ) -> None:
        self._library = require_webdataset()
        self.assembled, self.images, self.out = assembled, images, out
        self.shard_pairs = shard_pairs
        self._sources = {
            split: _cut(assembled / name, split, shard_pairs)
            for split, name in FILES.items()
        }
        self._spans = [s for one in self._sources.values() for s in one.spans]

    def settings(self) -> dict[str, Any]:
        """See :meth:`Stage.settings`."""
        triplets = {k: one.digest for k, one in self._sources.items()}
        return dict(shard_pairs=self.shard_pairs, triplets=triplets)

    @property
    def sources(self) -> Sequence[StageFolder]:
        """See :attr:`Stage.sources`."""
        return ()

    @property
    def num_blocks(self) -> int:
        """See :attr:`Stage.num_blocks`."""
        return len(self._spans)

    def items(self, block: int) -> list[tuple[str, _Span]]:
        """See :meth:`Stage.items`."""
        span = self._spans[block]
        return [(span.name, span)]

    def process(self, items: Sequence[tuple[str, _Span]]) -> Iterator[Row]:
        """See :meth:`Stage.process`."""
        for key, span in items:
            pairs = 0
            with atomic_write(self.out / f'{key}.tar') as file:
                # The same triplets give the same bytes.
                with self._library.TarWriter(
                    file, encoder=False, mtime=0
                ) as tar:
                    for sample in self._samples(span):
                        tar.write(sample)
                        pairs += 1
                size = file.tell()
            yield dict(key=key, split=span.split, pairs=pairs, bytes=size)

    def files(self, items: Sequence[tuple[str, _Span]]) -> list[Path]:
        """See :meth:`Stage.files`."""
        return [self.out / f'{key}.tar' for key, _ in items]

    def finish(self, folder: StageFolder) -> dict[str, Any]:
        """Write the index and the files of triplets.

        Args:
            folder (StageFolder): With all blocks.

        Returns:
            dict[str, Any]: ``pairs`` by split.
        """
        names = (*FILES.values(), INDEX, TABLE)
        clear_leftovers(self.out / name for name in names)
        pairs = dict.fromkeys(FILES, 0)
        for row in folder.read_all():
            pairs[row['split']] += row['pairs']
        for name in FILES.values():
            with (
                open(self.assembled / name, 'rb') as read,
                triplet_file(self.out / name) as file,
            ):
                for triplet in read_triplets(read):
                    file.add(_renamed(triplet, _members(triplet)))
        index_shards(self.out, [f'{span.name}.tar' for span in self._spans])
        return dict(pairs=pairs)

    def _samples(self, span: _Span) -> Iterator[dict[str, Any]]:
        with open(self.assembled / FILES[span.split], 'rb') as file:
            file.seek(span.start)
            triplets = read_triplets(file, span.stop)
            for key, some in groupby(triplets, lambda one: one['pair']):
                yield self._sample(key, list(some))

    def _sample(self, key: str, triplets: list[dict]) -> dict[str, Any]:
        members: dict[str, str] = {}
        for triplet in triplets:
            members |= _members(triplet)
        content = [_renamed(one, members) for one in triplets]
        sample: dict[str, Any] = {'__key__': key}
        sample['json'] = json.dumps(content, ensure_ascii=False).encode()
        for path, member in members.items():
            sample[member[len(key) + 1 :]] = self._image(path)
        return sample

    def _image(self, path: str) -> bytes:
        try:
            return (self.images / path).read_bytes()
        except OSError as error:
            raise LaunchError(
                f'The image "{self.images / path}" cannot be read '
                f'({error.strerror}), so no shard can hold it.'
            ) from error


def write_shards(
    assembled: Path, images: Path, shard_pairs: int
) -> StageFolder:
    """Write shards of assembled triplets into their folder.

    Shards that are there stay: a killed run goes on.

    Args:
        assembled (Path): Folder with the files of triplets. The shards go
            into its ``webdataset/shards``.
        images (Path): Folder of the images.
        shard_pairs (int): Pairs of a shard.

    Returns:
        StageFolder: What was done.

    Raises:
        LaunchError: If the folder holds shards of other triplets, an image
            is missing, or the disk is full.
    """
    folder = StageFolder(assembled / 'webdataset')
    out = folder.folder / 'shards'
    run_stage(ShardStage(assembled, images, out, shard_pairs), folder)
    return folder


def require_webdataset() -> Any:
    """Import webdataset.

    Returns:
        ModuleType: The module.

    Raises:
        ImportError: If it is not installed.
    """
    return require('webdataset', 'webdataset', 'Writing shards')


def _cut(path: Path, split: str, shard_pairs: int) -> _Source:
    """Cut a file of triplets after so many pairs, again and again."""
    digest = hashlib.blake2b(digest_size=8)
    starts, pairs, last, place = [], 0, None, 0
    with open(path, 'rb') as file:
        for line in file:
            digest.update(line)
            if line[:1] == b'{':
                pair = json.loads(line.rstrip(b',\n'))['pair']
                if pair != last:
                    if pairs % shard_pairs == 0:
                        starts.append(place)
                    pairs, last = pairs + 1, pair
            place += len(line)
    stops = [*starts[1:], place]
    cuts = enumerate(zip(starts, stops, strict=True))
    spans = [_Span(split, i, start, stop) for i, (start, stop) in cuts]
    return _Source(spans, digest.hexdigest())


def _members(triplet: dict) -> dict[str, str]:
    """Names of a triplet's images in a shard, by their paths.

    Of both directions of a pair the same: that of the even group id leads
    from reference to target.
    """
    sides = SIDES if triplet['cpr_id'] % 2 == 0 else SIDES[::-1]
    found = {}
    for side, role in zip(sides, SIDES, strict=True):
        path = triplet[f'{role}_image_path']
        ending = PurePosixPath(path).suffix.lower()
        found[path] = f'{triplet["pair"]}.{side}{ending}'
    return found


def _renamed(triplet: dict, members: dict[str, str]) -> dict:
    paths = {
        f'{role}_image_path': members[triplet[f'{role}_image_path']]
        for role in SIDES
    }
    return triplet | paths
