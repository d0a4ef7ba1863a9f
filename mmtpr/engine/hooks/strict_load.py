"""Load a checkpoint that fits, or stop."""

import re
from collections.abc import Iterable, Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from mmtpr.converters import check_fit, identify
from mmtpr.registry import HOOKS
from mmtpr.utils.errors import LaunchError

# What mmengine's runner takes off the names.
_WRAPPER = re.compile(r'^module.')


@HOOKS.register_module()
class StrictLoadHook(Hook):
    r"""Stop where a checkpoint does not fit the model, name by name.

    ``load_from``, ``resume`` and the checkpoint of a test load what fits and
    leave the rest of the model as it was, with a warning in the log. With
    this hook a name that the checkpoint lacks, one that the model has not,
    and another shape stop the run, before anything is loaded.

    Args:
        missing (Sequence[str]): Regular expressions of whole names that the
            checkpoint may lack. Defaults to ().
        unknown (Sequence[str]): Likewise of names that the checkpoint alone
            may have. Defaults to ().

    Raises:
        LaunchError: If the checkpoint does not fit, with names and, if it is
            a known one, the kind of checkpoint.

    Example:
        >>> custom_hooks = [
        ...     dict(
        ...         type='mmtpr.StrictLoadHook',
        ...         missing=[r'losses\.id\..*'])
        ... ]
    """

    priority = 'VERY_HIGH'

    def __init__(
        self, missing: Sequence[str] = (), unknown: Sequence[str] = ()
    ) -> None:
        for name, value in (('missing', missing), ('unknown', unknown)):
            if isinstance(value, str):
                raise ValueError(
                    f'{name} must be a list of patterns, got "{value}".'
                )
        self.missing = [re.compile(pattern) for pattern in missing]
        self.unknown = [re.compile(pattern) for pattern in unknown]

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check names and shapes before the runner uses them.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read from the file.
        """
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        own = model.state_dict()
        given = checkpoint.get('state_dict', checkpoint)
        given = {_WRAPPER.sub('', key): value for key, value in given.items()}
        absent = _matching(own.keys() - given.keys(), self.missing)
        beside = _matching(given.keys() - own.keys(), self.unknown)
        where = runner._load_from or 'the last checkpoint of the work dir'
        if absent or beside:
            runner.logger.info(
                f'"{where}": {len(absent)} weights of the model keep their '
                f'start, {len(beside)} of the file are not used, as '
                'StrictLoadHook was told.'
            )
        _check(_without(given, beside), _without(own, absent), str(where))


def _check(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str
) -> None:
    try:
        check_fit(given, own, where)
    except ValueError as error:
        theirs, ours = identify(given), identify(own)
        kind = ''
        if theirs and theirs != ours:
            takes = f', which {theirs.reader} take(s)' if theirs.reader else ''
            kind = f' It is a checkpoint of {theirs.name}{takes}.'
        raise LaunchError(
            f'{error}{kind} Nothing was loaded. Names that may differ go '
            'into missing or unknown of mmtpr.StrictLoadHook.'
        ) from error


def _matching(names: Iterable[str], patterns: list[re.Pattern]) -> set[str]:
    return {n for n in names if any(p.fullmatch(n) for p in patterns)}


def _without(
    state: Mapping[str, Tensor], names: set[str]
) -> dict[str, Tensor]:
    return {key: state[key] for key in state if key not in names}
