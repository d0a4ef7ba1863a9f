"""Say what resuming a run does not do."""

from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmtpr.engine.former_optimizer import update_optimizer_state
from mmtpr.registry import HOOKS
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.unwrap import unwrap
from mmtpr.utils.warn import warn

#: Parts of a config whose state comes from the checkpoint.
_OF_CHECKPOINT = ('optim_wrapper', 'param_scheduler')


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Check a checkpoint that a run resumes from.

    One of weights alone stops. Where the config has another optimizer or
    schedule than the checkpoint was made with, a WARNING says that those of
    the checkpoint go on; where nothing is left to train, another says so.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Compare the checkpoint with this run.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read.

        Raises:
            LaunchError: If it holds no state of a training.
        """
        if not runner._resume:
            return
        meta = checkpoint.get('meta') or {}
        if 'message_hub' not in checkpoint or 'epoch' not in meta:
            raise LaunchError(
                f'"{runner._load_from}" holds weights, but no state of a '
                'training to resume. Start one from these weights with '
                'load_from.'
            )
        _update_optimizer(runner, checkpoint)
        changed = _changed(meta.get('cfg'), runner.cfg)
        if changed:
            warn(
                f'{" and ".join(changed)} of the config differ from those '
                'that the checkpoint was made with. A resumed run keeps the '
                "checkpoint's rates and schedule; for new ones start from "
                'its weights with load_from.'
            )

    def before_train(self, runner: Runner) -> None:
        """Say where nothing is left to train.

        Args:
            runner (Runner): The runner.
        """
        if runner.iter and runner.iter >= runner.max_iters:
            warn(
                f'Nothing is left to train: {runner.iter} iterations are '
                f'done, and the config asks for {runner.max_iters}.'
            )


def _update_optimizer(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Make a former version's state of the optimizer one of this version."""
    state = checkpoint.get('optimizer') or {}
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
    if optimizer is None or not {'state', 'param_groups'} <= {*state}:
        return
    number = update_optimizer_state(state, unwrap(runner.model), optimizer)
    if number:
        print_log(
            f'{number} entries of the optimizer for alpha and beta of '
            'adapters are of a former version, and were updated: those that '
            'train have one dimension now, fixed ones are no parameters.',
            logger='current',
        )


def _changed(text: Any, cfg: Config) -> list[str]:
    """Names of the parts that differ from a config's text."""
    if not isinstance(text, str):
        return []
    try:
        former = Config.fromstring(text, '.py')
    except Exception:  # of another version or with code of its own
        return []
    return [
        name
        for name in _OF_CHECKPOINT
        if _plain(former.get(name)) != _plain(cfg.get(name))
    ]


def _plain(node: Any) -> Any:
    """Without the difference between lists and tuples, which text loses."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return node
