"""Load a checkpoint that fits, or stop."""

import re
from collections.abc import Iterable, Sequence

from mmengine.hooks import Hook

from mmtpr.checkpoints import Fit
from mmtpr.checkpoints.coverage import Coverage, kind_clause
from mmtpr.checkpoints.function_facts import differing_facts
from mmtpr.checkpoints.grouped_names import grouped_names
from mmtpr.registry import HOOKS
from mmtpr.text.config_tokenizers import token_facts
from mmtpr.utils.deprecation import renamed_argument
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.unwrap import unwrap

# What mmengine's runner takes off the names.
_WRAPPER = re.compile(r'^module\.')


@HOOKS.register_module()
class StrictLoadHook(Hook):
    r"""Stop where a checkpoint does not fit the model, key by key.

    Without it mmengine loads what fits and leaves the rest of the model as it
    was. ``tools/train.py`` and ``tools/test.py`` add the hook to every config
    that has none, for training with ``lenient=True``.

    A checkpoint that is resumed from must fit as a whole in any case.

    Args:
        missing (Sequence[str]): Regular expressions of whole keys that the
            checkpoint may lack. Defaults to ().
        unexpected (Sequence[str]): Likewise of keys that the checkpoint alone
            may have. Defaults to ().
        test_only (bool): Whether the model is only tested. Losses and heads of
            the training then may differ in any way, and a file of a part of
            the model is taken where the config brings the rest; see
            :class:`Coverage`. Defaults to False.
        lenient (bool): Whether ``load_from`` may fit in parts, with a warning
            that counts them. A file of which nothing fits stops all the same.
            Defaults to False.
        allow_partial (bool): Whether a test goes on with a file that lacks
            trained weights. Defaults to False.
        unknown (Sequence[str], optional): Former name of ``unexpected``.

    Raises:
        LaunchError: If the checkpoint does not fit, with keys and, if it is
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
        unexpected: Sequence[str] = (),
        test_only: bool = False,
        lenient: bool = False,
        allow_partial: bool = False,
        unknown: Sequence[str] | None = None,
    ) -> None:
        unexpected = renamed_argument(
            'StrictLoadHook', 'unknown', 'unexpected', unknown, unexpected
        )
        for name, value in (('missing', missing), ('unexpected', unexpected)):
            if isinstance(value, str):
                raise ValueError(
                    f'{name} must be a list of patterns, got "{value}".'
                )
        self.missing = [re.compile(pattern) for pattern in missing]
        self.unexpected = [re.compile(pattern) for pattern in unexpected]
        self.test_only = test_only
        self.lenient = lenient
        self.allow_partial = allow_partial

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check keys and shapes before the runner uses them.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read from the file.
        """
        model = unwrap(runner.model)
        given = checkpoint.get('state_dict', checkpoint)
        given = {_WRAPPER.sub('', key): value for key, value in given.items()}
        meta = checkpoint.get('meta') or {}
        where = str(runner._load_from or 'the last checkpoint of the work dir')
        if self.test_only:
            self._check_test(runner, model, given, meta, where)
        else:
            self._check_training(runner, model, given, where)
        trains = not self.test_only
        tokens = token_facts(runner.cfg)
        for line in differing_facts(meta, model, where, tokens, trains):
            runner.logger.warning(line)

    def _check_test(self, runner, model, given, meta, where: str) -> None:
        """Everything that a test uses must be there."""
        cover = Coverage.of(model, given, runner.cfg.get('model'), meta)
        cover = cover.sparing(
            _matching(cover.fit.missing, self.missing),
            _matching(cover.fit.unexpected, self.unexpected),
        )
        hint = _all_keys(cover.fit)
        for line in cover.require(where, self.allow_partial, hint):
            runner.logger.warning(line)

    def _check_training(self, runner, model, given, where: str) -> None:
        """All, or with lenient at least something, must fit."""
        own = model.state_dict()
        fit = Fit.of(given, own)
        missing = _matching(fit.missing, self.missing)
        unexpected = _matching(fit.unexpected, self.unexpected)
        rest = fit.without(missing, unexpected)
        kind = kind_clause(given, own)
        if runner._resume:
            hint = (
                'Nothing was loaded. --resume goes on with the run that wrote '
                'it, with the same config; load_from starts a new one from '
                'its weights.'
            )
            rest.raise_for(where, _joined(kind, hint), LaunchError)
        if not fit.fitting:
            raise LaunchError(
                f'"{where}" does not fit the model: none of its {len(given)} '
                'keys does, so the training would start from nothing. '
                f'{kind}'.strip()
            )
        if missing or unexpected:
            runner.logger.info(
                f'"{where}": {len(missing)} missing keys keep their start, '
                f'{len(unexpected)} unexpected keys are not used, as '
                'StrictLoadHook was told.'
            )
        if not self.lenient:
            hint = (
                'Nothing was loaded. Keys that may differ go into missing or '
                'unexpected of mmtpr.StrictLoadHook.'
            )
            hint = _joined(_all_keys(rest), kind, hint)
            rest.raise_for(where, hint, LaunchError)
        elif not rest.whole:
            runner.logger.warning(
                f'{len(fit.fitting)} of {len(own)} weights of the model come '
                f'from "{where}"; {rest.counts()}: these weights keep their '
                'start.'
            )


def _joined(*sentences: str) -> str:
    return ' '.join(filter(None, sentences))


def _all_keys(fit: Fit) -> str:
    """Every key that only one side has, grouped."""
    pairs = dict(missing=fit.missing, unexpected=fit.unexpected)
    shared = [*fit.fitting, *fit.mismatched]
    return ' '.join(
        f'All {kind}: {grouped_names(keys, shared)}.'
        for kind, keys in pairs.items()
        if len(keys) > 3
    )


def _matching(keys: Iterable[str], patterns: list[re.Pattern]) -> set[str]:
    return {k for k in keys if any(p.fullmatch(k) for p in patterns)}
