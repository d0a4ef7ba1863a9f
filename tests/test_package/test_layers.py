"""Imports between the parts of the package go one way: down."""

import ast

import pytest

# Each part may import itself and what stands before it.
LAYERS = (
    'registry',
    'utils',
    'structures',
    'checkpoints',
    'text',
    'converters',
    'evaluation',
    'visualization',
    'synthesis',
    'models',
    'filtering',
    'datasets',
    'gallery',
    'export',
    'apis',
    'page',
    'engine',
    'data_engine',
    'testing',
)

pytestmark = pytest.mark.smoke


def imported(path, root):
    """Parts of mmtpr that a file imports, also inside functions."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level]
            start = '.'.join(base) if node.level else ''
            module = '.'.join(filter(None, (start, node.module)))
            names = [module, *(f'{module}.{a.name}' for a in node.names)]
        for name in names:
            parts = name.split('.')
            if parts[0] == 'mmtpr' and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize('layer', LAYERS)
def test_nothing_imports_what_stands_above_it(repo_root, layer):
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    folder = repo_root / 'mmtpr' / layer
    files = (
        folder.rglob('*.py')
        if folder.is_dir()
        else [folder.with_suffix('.py')]
    )
    files = list(files)
    assert files
    wrong = [
        f'{path.relative_to(repo_root)} imports mmtpr.{name}'
        for path in files
        for name in imported(path, repo_root)
        if name in above
    ]
    assert not wrong
