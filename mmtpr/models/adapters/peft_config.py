"""What the config of a folder of peft says, as far as it can be expressed."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.utils import digit_version

from mmtpr.utils.numbers import is_number, is_whole

#: Options of peft that change nothing in how a finished adapter computes, or
#: that its tensors tell by themselves.
_HARMLESS = {
    *('auto_mapping', 'base_model_name_or_path', 'revision', 'task_type'),
    *('inference_mode', 'peft_type', 'peft_version', 'peft_type_str'),
    *('target_modules', 'exclude_modules', 'layers_to_transform'),
    *('layers_pattern', 'rank_pattern', 'alpha_pattern', 'r', 'lora_alpha'),
    *('lora_dropout', 'use_rslora', 'use_dora', 'use_wora', 'init_weights'),
    *('init_lora_weights', 'fan_in_fan_out', 'eva_config', 'loftq_config'),
    *('megatron_core', 'qalora_group_size', 'runtime_config', 'corda_config'),
    *('lora_ga_config', 'ensure_weight_tying', 'oft_block_size', 'eps'),
    *('use_cayley_neumann', 'num_cayley_neumann_terms', 'block_share'),
    'module_dropout',
}
_FLAGS = (
    *('use_rslora', 'use_dora', 'use_wora', 'use_cayley_neumann'),
    *('block_share', 'coft'),
)
#: Starts of the factors that leave the base weights as they are.
_PLAIN_STARTS = (True, False, 'gaussian', 'eva', 'orthogonal', None)


class PeftConfig(NamedTuple):
    """The options that matter.

    Attributes:
        kind (str): ``'LoRA'``, ``'DoRA'``, ``'WoRA'`` or ``'OFT'``.
        raw (dict): All of the config.
        starts_pissa (bool): Whether the base is a residual of PiSSA.
    """

    kind: str
    raw: dict[str, Any]
    starts_pissa: bool = False

    def alpha(self, layer: str, rank: int) -> float:
        """Option ``lora_alpha`` of a layer.

        Args:
            layer (str): Its name.
            rank (int): Its rank, of which the pattern says the same.

        Returns:
            float: The number.

        Raises:
            ValueError: If the config and the tensors differ in the rank.
        """
        told = _by_pattern(self.raw.get('rank_pattern'), layer, self.raw['r'])
        if told != rank:
            raise ValueError(
                f'adapter_config.json says rank {told} of "{layer}", its '
                f'tensors have {rank}.'
            )
        default = self.raw.get('lora_alpha', 8)
        return float(
            _by_pattern(self.raw.get('alpha_pattern'), layer, default)
        )


def _by_pattern(patterns: Mapping | None, layer: str, default: Any) -> Any:
    """The value of the first pattern that matches an ending of a name."""
    for pattern, value in (patterns or {}).items():
        if re.match(_ending(pattern), layer):
            return value
    return default


def _ending(pattern: str) -> str:
    """The pattern of names that end as a pattern of peft says."""
    return rf'(.*\.)?({pattern})$'


def read_peft_config(folder: str | Path) -> PeftConfig:
    """Read ``adapter_config.json``.

    Args:
        folder (str | Path): Folder of an adapter of peft.

    Returns:
        PeftConfig: The options that matter.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or something in it cannot be expressed;
            the message names it.
    """
    file = Path(folder) / 'adapter_config.json'
    if not file.is_file():
        raise FileNotFoundError(
            f'"{folder}" has no adapter_config.json: it is no folder of peft.'
        )
    try:
        raw = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'"{file}" is damaged: {error}.') from error
    if not isinstance(raw, dict):
        raise ValueError(f'"{file}" is damaged: it holds no object.')
    kind = raw.get('peft_type')
    if kind not in ('LORA', 'OFT'):
        raise ValueError(
            f'"{folder}" is an adapter of peft of the method {kind!r}; mmtpr '
            'has its LORA (with DoRA and WoRA) and OFT.'
        )
    wrong = _mistyped(raw)
    if wrong:
        raise ValueError(
            f'"{file}" is nothing that peft writes: {"; ".join(wrong)}.'
        )
    problems = _problems(raw)
    if problems:
        raise ValueError(
            f'"{folder}" cannot be expressed in mmtpr: {"; ".join(problems)}.'
        )
    if kind == 'OFT':
        return PeftConfig('OFT', raw)
    name = 'WoRA' if raw.get('use_wora') else 'LoRA'
    if raw.get('use_dora'):
        name = 'DoRA'
    raw.setdefault('r', 8)
    return PeftConfig(name, raw, raw.get('init_lora_weights') == 'pissa')


def _mistyped(raw: Mapping[str, Any]) -> list[str]:
    """What is of a type that peft gives no such option."""
    found = [
        f'{key} must be true or false, got {raw[key]!r}'
        for key in _FLAGS
        if not isinstance(raw.get(key), bool | None)
    ]
    if raw['peft_type'] == 'OFT':
        terms = raw.get('num_cayley_neumann_terms', 5)
        if raw.get('use_cayley_neumann', True) and not _is_rank(terms):
            found.append(
                'num_cayley_neumann_terms must be a whole number above 0, '
                f'got {terms!r}'
            )
        return found
    rank, alpha = raw.get('r', 8), raw.get('lora_alpha', 8)
    if not _is_rank(rank):
        found.append(f'r must be a whole number above 0, got {rank!r}')
    if not is_number(alpha):
        found.append(f'lora_alpha must be a finite number, got {alpha!r}')
    dropout = raw.get('lora_dropout')
    if dropout is not None and not (is_number(dropout) and 0 <= dropout < 1):
        found.append(f'lora_dropout must be in [0, 1), got {dropout!r}')
    for key, fits in (
        ('rank_pattern', _is_rank),
        ('alpha_pattern', is_number),
    ):
        found += _bad_patterns(key, raw.get(key), fits)
    return found


def _is_rank(value: Any) -> bool:
    return is_whole(value) and value > 0


def _bad_patterns(
    key: str, patterns: Any, fits: Callable[[Any], bool]
) -> list[str]:
    if patterns is None:
        return []
    if not isinstance(patterns, Mapping):
        return [f'{key} must give numbers to names, got {patterns!r}']
    found = []
    for pattern, value in patterns.items():
        if not fits(value):
            found.append(f'{key} gives {value!r} to {pattern!r}')
        try:
            re.compile(_ending(pattern))
        except re.error as error:
            found.append(f'{key} has {pattern!r}, no pattern: {error}')
    return found


def _problems(raw: Mapping[str, Any]) -> list[str]:
    found = []
    if raw.get('bias', 'none') != 'none':
        found.append(f'bias={raw["bias"]!r} trains biases of the base')
    if raw.get('use_dora') and raw.get('use_wora'):
        found.append('use_dora with use_wora is two methods in one')
    if saved := raw.get('modules_to_save'):
        saved = saved if isinstance(saved, list) else [saved]
        listed = ', '.join(map(str, saved))
        found.append(f'modules_to_save holds whole modules ({listed})')
    if raw['peft_type'] == 'OFT' and raw.get('use_cayley_neumann', True):
        found += _other_series(raw)
    if raw.get('coft'):
        found.append('coft=True bounds the rotation')
    start = raw.get('init_lora_weights')
    if start == 'pissa' and (raw.get('use_dora') or raw.get('use_wora')):
        found.append("init_lora_weights='pissa' with magnitudes")
    elif start != 'pissa' and start not in _PLAIN_STARTS:
        found.append(
            f'init_lora_weights={start!r} changes the base weights in a way '
            'that the folder does not keep; save it in peft with '
            'path_initial_model_for_weight_conversion'
        )
    known = {*_HARMLESS, 'bias', 'modules_to_save', 'coft'}
    for key, value in raw.items():
        if key not in known and value not in (None, False, [], {}, ''):
            found.append(f'{key}={value!r}')
    return found


def _other_series(raw: Mapping[str, Any]) -> list[str]:
    """What of the series of a rotation is not what is computed here."""
    found = []
    told = raw.get('peft_version')
    try:
        # What follows an @ names a commit. Files of before tell no version.
        version = digit_version(str(told or '0.17.0').partition('@')[0])
    except (AssertionError, ValueError):
        found.append(f'peft_version={told!r} is no version')
    else:
        if version < digit_version('0.18.0.dev0'):
            found.append(
                f'use_cayley_neumann=True of peft {told or "before 0.18"}, '
                'whose series was another one: train again with 0.18 or newer'
            )
    if raw.get('num_cayley_neumann_terms', 5) == 1:
        found.append('num_cayley_neumann_terms=1 never rotates')
    return found
