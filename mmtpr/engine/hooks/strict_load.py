"""Load a checkpoint that fits, or stop."""

import re
from collections.abc import Iterable, Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from mmtpr.checkpoints import check_fit, identify
from mmtpr.engine.tested_weights import Spared, grouped_names, spared_in_test
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
        test_only (bool): Whether the model is only tested, as
            ``tools/test.py`` says for every config. Losses and heads of the
            training then may differ in any way, and a file of adapters or
            of a TINet alone is taken where the config's encoder has
            pretrained weights; see :func:`spared_in_test`. Defaults to
            False.

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
        self,
        missing: Sequence[str] = (),
        unknown: Sequence[str] = (),
        test_only: bool = False,
    ) -> None:
        for name, value in (('missing', missing), ('unknown', unknown)):
            if isinstance(value, str):
                raise ValueError(
                    f'{name} must be a list of patterns, got "{value}".'
                )
        self.missing = [re.compile(pattern) for pattern in missing]
        self.unknown = [re.compile(pattern) for pattern in unknown]
        self.test_only = test_only

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
        where = runner._load_from or 'the last checkpoint of the work dir'
        spared = Spared()
        if self.test_only:
            spared = spared_in_test(model, given, runner.cfg.get('model'))
            _tell_kept(runner.logger, spared, where)
            given = _without_unused(given, spared.unused)
            own = _without_unused(own, spared.unused)
        absent = _matching(own.keys() - given.keys(), self.missing)
        beside = _matching(given.keys() - own.keys(), self.unknown)
        if absent or beside:
            runner.logger.info(
                f'"{where}": {len(absent)} weights of the model keep their '
                f'start, {len(beside)} of the file are not used, as '
                'StrictLoadHook was told.'
            )
        own = _without(own, absent | spared.kept)
        _check(_without(given, beside), own, str(where), spared.hint)


def _tell_kept(logger, spared: Spared, where: str) -> None:
    """Say which weights are those that the config starts from."""
    if spared.kept:
        logger.info(
            f'"{where}" holds a part of the model: {len(spared.kept)} weights '
            'are the pretrained ones of the config.'
        )
    if spared.tuned:
        logger.warning(
            f'{len(spared.tuned)} of these weights train in this config '
            f'(e.g. {", ".join(spared.tuned[:3])}), so what is tested is not '
            'what was trained. AdapterCheckpointHook(content="trainable") '
            'keeps them.'
        )


def _check(
    given: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    where: str,
    hint: str = '',
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
            f'{error}{_all_names(given, own)}{kind}{hint} Nothing was '
            'loaded. Names that may differ go into missing or unknown of '
            'mmtpr.StrictLoadHook.'
        ) from error


def _all_names(given: Mapping, own: Mapping) -> str:
    """Every name that only one side has, grouped."""
    pairs = dict(missing=(own, given), unknown=(given, own))
    texts = [
        f' All {what}: {grouped_names(names, shared)}.'
        for what, (side, other) in pairs.items()
        if len(names := [key for key in side if key not in other]) > 3
        for shared in [[key for key in side if key in other]]
    ]
    return ''.join(texts)


def _matching(names: Iterable[str], patterns: list[re.Pattern]) -> set[str]:
    return {n for n in names if any(p.fullmatch(n) for p in patterns)}


def _without(
    state: Mapping[str, Tensor], names: set[str]
) -> dict[str, Tensor]:
    return {key: state[key] for key in state if key not in names}


def _without_unused(
    state: Mapping[str, Tensor], starts: tuple[str, ...]
) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.startswith(starts)}
