"""The check that a config of others names parts of mmtpr and nothing else.

mmengine builds whatever ``type`` names, and imports a name it does not know:
a config may start any program, whether it is Python or plain data.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmtpr.registry import (
    DATASETS,
    METRICS,
    MMENGINE_MODELS,
    MMENGINE_TRANSFORMS,
    MODELS,
    TRANSFORMS,
)
from mmtpr.utils.errors import LaunchError

#: Settings that load code, or files of other formats.
_REFUSED = (
    *('custom_imports', 'trust_remote_code', 'init_cfg', '_base_'),
    *('_scope_', 'backend_args', 'file_client_args'),
)
_OURS = (MODELS, TRANSFORMS, METRICS, DATASETS)
#: Parts of the libraries below, without a prefix: layers, transforms of mmcv.
_BELOW = (MMENGINE_MODELS, MMENGINE_TRANSFORMS)
_NAME = re.compile(r'(?:mmtpr\.)?([A-Za-z]\w*)')


def check_config(data: Any, source: str) -> None:
    """Check a config that came from others, before anything is built.

    Args:
        data (Any): Plain data: dicts, lists, text, numbers, None.
        source (str): Where it is from, for the message.

    Raises:
        LaunchError: If a ``type`` is no part of mmtpr or no layer or
            transform of mmengine and mmcv, or a setting loads code.
    """
    for registry in _OURS:
        registry.import_from_location()
    for where, key, value in _walk(data, ''):
        if key in _REFUSED and value:
            raise LaunchError(
                f'The config of "{source}" has "{where}", which loads code or '
                'files from elsewhere. Nothing was loaded.'
            )
        if key == 'type' and not _is_known(value):
            raise LaunchError(
                f'The config of "{source}" has {where}={value!r}, which is no '
                'part of mmtpr. Nothing was loaded.'
            )


def _walk(node: Any, where: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _walk(item, f'{where}[{index}]')
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        place = f'{where}.{key}'.lstrip('.')
        yield place, key, value
        if key == 'targets' and _is_adapted(node):
            continue  # regular expressions, which are never built
        yield from _walk(value, place)


def _is_adapted(node: Mapping) -> bool:
    return str(node.get('type')).rpartition('.')[2] in _adapter_models()


def _adapter_models() -> set[str]:
    from mmtpr.models.adapters import AdapterModel

    return {
        name
        for name, kind in MODELS.module_dict.items()
        if inspect.isclass(kind) and issubclass(kind, AdapterModel)
    }


def _is_known(value: Any) -> bool:
    from mmtpr.models.adapters import ADAPTERS

    found = _NAME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return False
    name = found[1]
    if name in ADAPTERS:
        return True
    registries = _OURS if '.' in value else (*_OURS, *_BELOW)
    return any(inspect.isclass(r.module_dict.get(name)) for r in registries)
