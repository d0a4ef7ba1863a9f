"""The weights of a model that a checkpoint covers, and who brings the rest.

A file may hold a part of a model by design: adapters alone, all that trained,
or a TINet without its encoder. It is used only where the config brings what it
lacks, and where it lacks nothing that was trained.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from mmtpr.utils.errors import LaunchError

from .base_weights import brought_by, is_head
from .completeness import ADAPTER_LEAVES, ADAPTER_MARKS, may_lack
from .families import identify
from .fit import Fit, count_keys

#: Class attribute of retrievers: starts of keys that only training needs.
TRAINING_ONLY = 'training_only'
#: In the meta of a checkpoint: what it lacks of what was trained with it.
LACKS = 'lacks'

_ALLOW = 'tell it to go on with the weights of the config (--allow-partial)'


@dataclass(frozen=True)
class Coverage:
    """A checkpoint held against a model that is to be used, not trained.

    Attributes:
        fit (Fit): Differences that are not meant.
        brought (tuple[str, ...]): Missing keys that the config brings.
        untrained (tuple[str, ...]): Missing keys that the config brings, but
            as they were before training changed them.
        random (tuple[str, ...]): Missing keys that nothing brings.
        kind (str): Sentence on the family of the checkpoint, if it is known
            and another one.
    """

    fit: Fit
    brought: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    kind: str = ''

    @classmethod
    def of(
        cls,
        model: nn.Module,
        state: Mapping[str, Tensor],
        cfg: Any = None,
        meta: Mapping[str, Any] | None = None,
    ) -> 'Coverage':
        """Compare.

        Args:
            model (nn.Module): The model, not wrapped.
            state (Mapping[str, Tensor]): Weights of the checkpoint.
            cfg (dict, optional): Config of the model, which tells what it
                starts from.
            meta (Mapping, optional): Meta of the checkpoint.

        Returns:
            Coverage: The comparison. Losses and heads that only training
            needs are left aside.
        """
        own = model.state_dict()
        unused = unused_keys(model)
        fit = Fit.of(state, own).without(unused, unused, unused)
        kind = kind_clause(state, own)
        if not _is_part(model, set(state), set(own)):
            return cls(fit, kind=kind)
        patterns = list(brought_by(cfg))
        missing = fit.missing
        brought = {k for k in missing if any(p.fullmatch(k) for p in patterns)}
        untrained = brought & set(lacking_trained(model, state, meta or {}))
        return cls(
            fit.without(missing=missing),
            tuple(k for k in missing if k in brought - untrained),
            tuple(k for k in missing if k in untrained),
            tuple(k for k in missing if k not in brought),
            kind,
        )

    def sparing(
        self, missing: Collection[str], unexpected: Collection[str]
    ) -> 'Coverage':
        """Leave out differences that the user means.

        Args:
            missing (Collection[str]): Keys that may be missing.
            unexpected (Collection[str]): Keys that may be unexpected.

        Returns:
            Coverage: The rest.
        """
        return replace(self, fit=self.fit.without(missing, unexpected))

    def require(
        self, source: str, allow_partial: bool = False, hint: str = ''
    ) -> list[str]:
        """Stop where using the checkpoint would give wrong numbers.

        Args:
            source (str): The file, for messages.
            allow_partial (bool): Whether a file that lacks trained weights
                will do. Defaults to False.
            hint (str): What to add where keys differ. Defaults to ''.

        Returns:
            list[str]: Lines for the log.

        Raises:
            LaunchError: If keys differ, some would be random, or the file
                lacks trained weights.
        """
        hint = ' '.join(filter(None, (hint, self.kind, 'Nothing was loaded.')))
        self.fit.raise_for(source, hint, LaunchError)
        if self.random:
            raise LaunchError(
                f'"{source}" holds a part of the model, and nothing brings '
                f'the rest: {count_keys("missing", self.random)} would be '
                'random. Set pretrained in the config, or take the full '
                'checkpoint.'
            )
        lines = []
        if self.untrained:
            lines.append(
                refuse_untrained(source, self.untrained, allow_partial)
            )
        if self.brought:
            lines.append(
                f'"{source}" holds a part of the model: {len(self.brought)} '
                'weights are the pretrained ones of the config.'
            )
        return lines


def unused_keys(model: nn.Module) -> Callable[[str], bool]:
    """Tell the keys that a model in use does without.

    Args:
        model (nn.Module): The model.

    Returns:
        Callable: Says of a key whether it is of a loss, or of a head that
        only training needs.
    """
    starts = []
    for name, module in model.named_modules():
        prefix = f'{name}.' if name else ''
        only = getattr(type(module), TRAINING_ONLY, ())
        starts += [prefix + start for start in only]
    found = tuple(starts)
    return lambda key: is_head(key) or key.startswith(found)


def adapter_keys(keys: Iterable[str]) -> set[str]:
    """Keys of adapters.

    Args:
        keys (Iterable[str]): Keys of a model with adapters.

    Returns:
        set[str]: Those of ``lora_A``, ``lora_B``, ``magnitude``, ``alpha``,
        ``beta``, ``oft_R`` and so on of adapted layers.
    """
    keys = list(keys)
    parts = [(key, key.rpartition('.')) for key in keys]
    owners = {owner for _, (owner, _, leaf) in parts if leaf in ADAPTER_MARKS}
    return {
        k
        for k, (o, _, leaf) in parts
        if o in owners and leaf in ADAPTER_LEAVES
    }


def lacking_trained(
    model: nn.Module, state: Mapping[str, Any], meta: Mapping[str, Any]
) -> list[str]:
    """Find weights that were trained with a checkpoint and are not in it.

    Args:
        model (nn.Module): The model, not wrapped.
        state (Mapping): Weights of the checkpoint.
        meta (Mapping): Its meta, in which it may say what it lacks.

    Returns:
        list[str]: Their keys, without those of losses and heads.
    """
    told = (meta.get(LACKS) or {}).get('keys', ())
    unused = unused_keys(model)
    keys = {*trained_keys(model), *told} - state.keys()
    return [k for k in sorted(keys) if not unused(k) and not may_lack(k)]


def refuse_untrained(
    source: str, lacking: Collection[str], allow_partial: bool
) -> str:
    """Stop where a checkpoint lacks trained weights, unless told otherwise.

    Args:
        source (str): The checkpoint, for the message.
        lacking (Collection[str]): From :func:`lacking_trained`, not empty.
        allow_partial (bool): Whether to go on.

    Returns:
        str: A line for the log.

    Raises:
        LaunchError: If it is not allowed.
    """
    text = (
        f'"{source}" lacks weights that were trained with it, '
        f'{count_keys("missing", lacking)}'
    )
    if not allow_partial:
        raise LaunchError(
            f'{text}: what it gives is not what was trained. Take the full '
            f'checkpoint, or {_ALLOW}.'
        )
    return f'{text}; those of the config are taken instead.'


def trained_keys(model: nn.Module) -> set[str]:
    """Keys that training changes.

    Args:
        model (nn.Module): The model, not wrapped.

    Returns:
        set[str]: Keys of parameters that require gradients, of adapters, and
        of the buffers in checkpoints of modules that own such parameters.
    """
    saved = model.state_dict()
    keep = adapter_keys(saved)
    for name, module in model.named_modules(remove_duplicate=False):
        own = dict(module.named_parameters(name, recurse=False))
        training = [key for key, p in own.items() if p.requires_grad]
        keep.update(training)
        if training:
            buffers = module.named_buffers(name, recurse=False)
            # Not those that no checkpoint holds, such as a causal mask.
            keep.update(key for key, _ in buffers if key in saved)
    return keep


def untrained_random(model: nn.Module, cfg: Any) -> list[str]:
    """Find the weights of a model that nothing brings.

    Args:
        model (nn.Module): The model, built from the config alone.
        cfg (dict): Its config.

    Returns:
        list[str]: Keys of random parameters. Adapters, which change nothing
        at their start, and single numbers such as temperatures are none.
    """
    unused, patterns = unused_keys(model), list(brought_by(cfg))
    adapters = adapter_keys(model.state_dict())
    return [
        key
        for key, parameter in model.named_parameters()
        if parameter.numel() > 1
        and key not in adapters
        and not unused(key)
        and not any(p.fullmatch(key) for p in patterns)
    ]


def kind_clause(state: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Say what a checkpoint is of, if it is of another known family.

    Args:
        state (Mapping): Its weights.
        own (Mapping): Those of the model.

    Returns:
        str: A sentence, or ''.
    """
    theirs, ours = identify(state), identify(own)
    if theirs is None or theirs == ours:
        return ''
    takes = f', which {theirs.reader} take(s)' if theirs.reader else ''
    return f'It is a checkpoint of {theirs.name}{takes}.'


def _is_part(model: nn.Module, given: set[str], own: set[str]) -> bool:
    """Tell a file that holds a part by design from one with gaps."""
    adapters = {key for key in adapter_keys(own) if not may_lack(key)}
    tuned = trained_keys(model)
    part = _frozen_part(model, own, tuned)
    if adapters:
        return adapters <= given and not (part - tuned) & given
    unused = unused_keys(model)
    used = {key for key in given & own if not unused(key)}
    return bool(part and used) and not part & given


def _frozen_part(
    model: nn.Module, own: Collection[str], tuned: set[str]
) -> set[str]:
    """Keys that such a file lacks: the encoder's, or what is frozen."""
    for name, module in model.named_modules():
        if hasattr(type(module), TRAINING_ONLY):
            prefix = f'{name}.encoder.' if name else 'encoder.'
            return {key for key in own if key.startswith(prefix)}
    return (set(own) - tuned) | adapter_keys(own)
