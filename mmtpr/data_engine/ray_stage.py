"""Running a stage on a cluster of Ray: its blocks mapped by Ray Data."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmengine.registry import init_default_scope

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.lazy import require

from .block_files import BlockSummary
from .run_stage import begun_stage, finish_stage, run_block
from .stage import Stage
from .stage_folder import StageFolder

#: Gives a stage and its folder, in the driver and in every worker.
Build = Callable[[], tuple[Stage, StageFolder]]

_WORK = '.ray'
#: With fewer logical CPUs Ray Data waits for ever when it resumes.
_LEAST_CPUS = 6
#: How often a block may end its worker.
_MOST_TRIES = 3


def run_stage_with_ray(
    build: Build, workers: int = 1, gpus: float = 0
) -> BlockSummary:
    """Run a stage as :func:`run_stage` does, its blocks shared out by Ray.

    The cluster of ``RAY_ADDRESS``, or the one that runs on this machine, is
    used; without one, one is started here for the time of the run. All its
    machines must see the folder of the run under the same path and have the
    same packages. Rows and files are those of :func:`run_stage`; either goes
    on with what the other began.

    Args:
        build (Callable): Gives the stage and its folder. It is pickled.
        workers (int): Processes that hold the stage. Defaults to 1.
        gpus (float): GPUs of each. Defaults to 0.

    Returns:
        BlockSummary: What came of all blocks.

    Raises:
        ImportError: If ray is not installed.
        LaunchError: See :func:`run_stage`; also if a block ends its worker
            again and again.
    """
    ray = require('ray', 'ray', '--launcher ray')
    require('ray.data', 'ray', '--launcher ray')
    stage, folder = build()
    with begun_stage(stage, folder):
        work = folder.folder.absolute() / _WORK
        # Twice: Ray's checkpoint may name a block whose file was removed.
        for _ in range(2):
            if _all_there(stage, folder):
                break
            with _cluster(ray), _settings(ray, work):
                _map_blocks(ray, build, stage.num_blocks, work, workers, gpus)
            shutil.rmtree(work, ignore_errors=True)
        return finish_stage(stage, folder)


class _Worker:
    """Holds the stage in a process of the cluster."""

    def __init__(self, build: Build, tries: str) -> None:
        init_default_scope('mmtpr')
        self.stage, self.folder = build()
        self.tries = Path(tries)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        block = int(row['id'])
        if self.folder.blocks.summary(block) is None:
            with self._counted(block):
                run_block(self.stage, self.folder, block)
        return dict(id=block)

    @contextmanager
    def _counted(self, block: int) -> Iterator[None]:
        """Ray would start what kills its worker for ever."""
        path = self.tries / str(block)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, 'a+b') as file:
            if file.tell() >= _MOST_TRIES:
                raise LaunchError(
                    f'Block {block} of the stage "{self.stage.name}" ended '
                    f'its worker {_MOST_TRIES} times; memory may be short. '
                    "Ray's log of the worker says more. What is done is kept."
                )
            file.write(b'.')
        try:
            yield
        finally:  # not where the process ends
            path.unlink()


def _map_blocks(
    ray: Any, build: Build, blocks: int, work: Path, workers: int, gpus: float
) -> None:
    tries = work / 'tries'
    shutil.rmtree(tries, ignore_errors=True)  # a new run, new tries
    numbers = ray.data.range(blocks, override_num_blocks=blocks)
    done = numbers.map(
        _Worker,
        fn_constructor_args=(build, str(tries)),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        **(dict(num_gpus=gpus) if gpus else {}),
    )
    try:
        # Ray takes a row for done when it is written.
        done.write_parquet(str(work / 'blocks'))
    except ray.exceptions.RayTaskError as error:
        told = error.cause
        while told is not None and not isinstance(told, LaunchError):
            told = told.__cause__
        if told is None:
            raise
        # Ray adds lines on how often it tried.
        raise LaunchError(str(told).partition('\n')[0]) from error
    except ray.exceptions.RayActorError as error:
        raise LaunchError(
            f'A worker of Ray could not go on ({type(error).__name__}); '
            "Ray's log says why. Run the command again: what is done is kept."
        ) from error


@contextmanager
def _settings(ray: Any, work: Path) -> Iterator[None]:
    """Ray Data's settings for the time of a run."""
    context = ray.data.DataContext.get_current()
    before = context.checkpoint_config, context.raise_original_map_exception
    context.checkpoint_config = dict(
        id_column='id', checkpoint_path=str(work / 'checkpoint')
    )
    context.raise_original_map_exception = True
    try:
        yield
    finally:
        context.checkpoint_config, context.raise_original_map_exception = (
            before
        )


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """Join a cluster, or start one and stop it."""
    if ray.is_initialized():
        yield
        return
    address = os.environ.get('RAY_ADDRESS', 'auto')
    if address != 'local':
        with suppress(ConnectionError):
            ray.init(address=address)
    if not ray.is_initialized():
        if address not in ('auto', 'local'):
            raise LaunchError(
                f'No cluster of Ray answers at {address} (RAY_ADDRESS).'
            )
        cpus = max(_LEAST_CPUS, os.cpu_count() or 1)
        ray.init(address='local', num_cpus=cpus, include_dashboard=False)
    try:
        yield
    finally:
        ray.shutdown()


def _all_there(stage: Stage, folder: StageFolder) -> bool:
    return all(
        folder.blocks.summary(block) is not None
        for block in range(stage.num_blocks)
    )
