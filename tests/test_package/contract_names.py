"""Looks mmtpr's types up from other scopes, without importing mmtpr.

Run by ``tests/helpers/fresh_process.py``. A case is
``registry file|scope|with or without|``: the first is a json file of registry
name -> type names.
"""

import json
import sys

PRELOAD = ['mmengine.runner', 'mmcv.transforms', 'open_clip']


def main(case: str) -> dict:
    """Look every type up by its prefix alone; return name -> module."""
    path, scope, imports = case.split('|')
    with open(path, encoding='utf-8') as file:
        names = json.load(file)
    import mmengine.registry as mmengine_registry
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    text = f'default_scope = "{scope}"\n'
    if imports == 'custom_imports':
        text += 'custom_imports = dict(imports=["mmtpr"])\n'
    cfg = Config.fromstring(text, '.py')
    assert ('mmtpr' in sys.modules) == (imports == 'custom_imports')
    init_default_scope(cfg.default_scope)
    found = {}
    for registry, types in names.items():
        root = getattr(mmengine_registry, registry)
        with root.switch_scope_and_registry(None) as current:
            for name in types:
                cls = current.get(f'mmtpr.{name}')
                found[f'{registry}.{name}'] = cls.__module__ if cls else None
    return found
