"""Registries: locations, docstrings, and reach from other scopes."""

import ast
import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from itertools import product
from pathlib import Path

import mmengine.registry
import pytest
from mmengine.registry import Registry

import mmtpr.registry
from mmtpr.utils import register_all_modules

pytestmark = pytest.mark.smoke

REGISTRIES = {
    name: value
    for name, value in vars(mmtpr.registry).items()
    if isinstance(value, Registry)
    and not name.startswith('MMENGINE_')
    and value.parent is not None
}
#: The names other projects write in their configs, by registry.
CONTRACT = {
    'DATASETS': [
        'CUHKPEDES',
        'ICFGPEDES',
        'RSTPReid',
        'MALS',
        'RelevanceFilteredDataset',
        'SelectedPairsDataset',
    ],
    'MODELS': [
        'WoRAModel',
        'AdapterModel',
        'OpenCLIPEncoder',
        'TextPersonRetriever',
        'RetrievalDataPreprocessor',
        'SDMLoss',
        'IDLoss',
        'MLMLoss',
    ],
    'TRANSFORMS': [
        'ImageTransforms',
        'TokenizeCaption',
        'MaskTokens',
        'PadCrop',
        'RandomErasingMean',
        'PackRetrievalInputs',
    ],
    'DATA_SAMPLERS': ['IdentitySampler'],
    'TASK_UTILS': ['ScoreSelector', 'ConsensusDivision'],
    'METRICS': ['PersonRetrievalMetric'],
}
#: Names a sibling scope has too: an unprefixed clash would be silent.
CLASHING = {
    'CLIP',
    'Linear',
    'LoRAModel',
    'CrossEntropyLoss',
    'PackInputs',
    'RandomErasing',
    'RetrievalMetric',
}


@pytest.fixture(scope='module')
def registered():
    """Registry name -> the types registered in it."""
    register_all_modules(init_default_scope=False)
    return {name: dict(r.module_dict) for name, r in REGISTRIES.items()}


def test_the_promised_registries_are_there():
    assert set(REGISTRIES) == {
        'MODELS',
        'DATASETS',
        'TRANSFORMS',
        'DATA_SAMPLERS',
        'FUNCTIONS',
        'METRICS',
        'HOOKS',
        'LOOPS',
        'MODEL_WRAPPERS',
        'OPTIM_WRAPPER_CONSTRUCTORS',
        'TASK_UTILS',
        'VISUALIZERS',
        'INFERENCERS',
    }


@pytest.mark.parametrize('name', REGISTRIES)
def test_registry_is_a_child_of_the_root(name):
    registry = REGISTRIES[name]
    assert registry.scope == 'mmtpr'
    assert registry.parent is getattr(mmengine.registry, name)


def test_the_data_engine_has_a_registry_of_its_own():
    """mmengine knows nothing like its parts."""
    assert mmtpr.registry.SYNTHESIS.scope == 'mmtpr'
    assert mmtpr.registry.SYNTHESIS.get('mmtpr.GrammarWriter')


@pytest.mark.parametrize('name', REGISTRIES)
def test_locations_can_be_imported_and_are_complete(name):
    """What is registered lies below the registry's own locations."""
    locations = REGISTRIES[name]._locations
    assert locations
    for location in locations:
        import_module(location)
    for key, cls in REGISTRIES[name].module_dict.items():
        assert cls.__module__.startswith(tuple(locations)), key


def documentation_faults(cls) -> list:
    """What the docstring of a registered class or function lacks."""
    if not cls.__doc__:
        return ['has no docstring of its own']
    if not inspect.isfunction(cls) and '__init__' not in vars(cls):
        return []
    names = [
        name
        for name, p in inspect.signature(cls).parameters.items()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    faults = [f'"{name}" missing' for name in names if name not in cls.__doc__]
    if names and 'Args:' not in cls.__doc__:
        faults.append('no "Args:"')
    return faults


def test_registered_types_are_documented(registered):
    faults = {
        f'{name}.{key}': documentation_faults(cls)
        for name, types in registered.items()
        for key, cls in types.items()
    }
    assert faults
    assert not any(faults.values()), {k: v for k, v in faults.items() if v}


def test_contract_names_are_registered(registered):
    missing = {
        name: sorted(set(types) - set(registered[name]))
        for name, types in CONTRACT.items()
    }
    assert not any(missing.values()), missing


def test_no_name_clashes_with_a_sibling(registered):
    names = {key for types in registered.values() for key in types}
    assert not names & CLASHING


def test_registry_module_imports_only_mmengine(repo_root):
    """An ImportError in it would be swallowed by mmengine."""
    text = (repo_root / 'mmtpr/registry.py').read_text(encoding='utf-8')
    assert imported_modules(ast.parse(text)) == {'mmengine.registry'}


CASES = list(
    product(('mmpretrain', 'mmengine'), ('nothing', 'custom_imports'))
)


@pytest.fixture(scope='module')
def reached(repo_root, registered, tmp_path_factory):
    """Look all types up in fresh processes, one a case."""
    names = tmp_path_factory.mktemp('names') / 'names.json'
    names.write_text(json.dumps({k: list(v) for k, v in registered.items()}))
    keys = {case: '|'.join([str(names), *case]) for case in CASES}
    done = subprocess.run(
        [
            sys.executable,
            repo_root / 'tests/helpers/fresh_process.py',
            repo_root / 'tests/test_package/contract_names.py',
            *keys.values(),
        ],
        cwd=repo_root,
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(repo_root)),
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.strip().splitlines()[-1])
    return {case: outcomes[key] for case, key in keys.items()}


@pytest.mark.parametrize('case', CASES, ids='-'.join)
def test_types_are_reached_by_prefix_alone(reached, registered, case):
    outcome = reached[case]
    assert 'result' in outcome, outcome.get('error')
    wanted = {
        f'{name}.{key}': cls.__module__
        for name, types in registered.items()
        for key, cls in types.items()
    }
    assert outcome['result'] == wanted


def imported_modules(tree: ast.AST) -> set:
    """Absolute names of everything a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add('.' * node.level + (node.module or ''))
    return found


def default_types(tree: ast.AST):
    """Strings that stand as ``type`` in dicts, calls and assignments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
        elif isinstance(node, ast.Call):
            pairs = [
                (ast.Constant(word.arg), word.value) for word in node.keywords
            ]
            if getattr(node.func, 'attr', '') == 'setdefault':
                pairs.append(tuple(node.args))
        else:
            continue
        for key, value in pairs:
            named = isinstance(key, ast.Constant) and key.value == 'type'
            if named and isinstance(value, ast.Constant):
                yield node.lineno, value.value


def python_files(repo_root: Path):
    for path in sorted((repo_root / 'mmtpr').rglob('*.py')):
        if '.mim' not in path.parts:
            yield path


def test_default_types_are_prefixed(repo_root, registered):
    """In a config of another project our unprefixed defaults would resolve in
    *its* scope: only names of mmengine's own registries may stay bare."""
    import mmcv.transforms  # noqa: F401

    roots = {
        key
        for registry in vars(mmengine.registry).values()
        if isinstance(registry, Registry)
        for key in registry.module_dict
    }
    roots |= {'WoRA', 'DoRA', 'LoRA'}  # kinds of adapters, not types
    roots |= {'json_schema', 'object', 'string', 'text'}  # JSON
    roots |= {'image', 'image_url'}  # parts of messages
    ours = {key for types in registered.values() for key in types}
    bare = []
    for path in python_files(repo_root):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        for line, name in default_types(tree):
            if not isinstance(name, str) or name.startswith('mmtpr.'):
                continue
            plain_word = name.isidentifier()
            if plain_word and (name in ours or name not in roots):
                where = path.relative_to(repo_root)
                bare.append(f'{where}:{line}: {name}')
    assert not bare, bare


PURE = [
    'mmtpr/evaluation/ranking/ranking.py',
    'mmtpr/filtering/r[au]*.py',
    'mmtpr/filtering/scores.py',
    'mmtpr/filtering/screening.py',
    'mmtpr/models/losses/functional*.py',
    'mmtpr/models/adapters/wora*.py',
    'mmtpr/models/adapters/dora*.py',
    'mmtpr/models/adapters/lora*.py',
]


@pytest.mark.parametrize('pattern', PURE)
def test_mathematics_import_no_registry(repo_root, pattern):
    files = sorted(repo_root.glob(pattern))
    assert files, f'nothing matches {pattern}'
    for path in files:
        names = imported_modules(ast.parse(path.read_text(encoding='utf-8')))
        assert not [n for n in names if 'registry' in n], path
