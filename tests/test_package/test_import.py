"""`import mmtpr` on complete, incomplete and broken stacks."""

import sys
import warnings

import mmcv
import mmengine
import pytest
from packaging.version import Version

import mmtpr
from mmtpr.utils.compat import check_requirements
from mmtpr.utils.mmpretrain_state import (
    check_mmpretrain_types,
    require_mmpretrain,
)

pytestmark = pytest.mark.smoke

# Every location is imported and a layer built and run, all of it while the
# module named on the command line cannot be imported.
WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
import mmtpr
from mmtpr.utils import register_all_modules
register_all_modules()
import torch
from mmtpr.models.adapters import WoRALinear
layer = WoRALinear(torch.nn.Linear(4, 3), rank=2)
assert layer(torch.ones(2, 4)).shape == (2, 3)
loaded = [name for name in sys.modules if name.split('.')[0] == 'mmpretrain']
print(loaded)
"""


@pytest.mark.parametrize('module', ['mmpretrain', 'mmpretrain.models'])
def test_import_without_mmpretrain(run_python, module):
    done = run_python(WITHOUT, module)
    assert done.returncode == 0, done.stderr
    # Present as the blocked entry only: nothing tried to import it.
    assert done.stdout.strip().splitlines()[-1] == f"['{module}']"


@pytest.mark.parametrize('module', ['mmengine', 'mmcv'])
def test_import_without_the_stack_names_both_extras(run_python, module):
    code = f'import sys; sys.modules["{module}"] = None; import mmtpr'
    done = run_python(code)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f'ImportError: mmtpr needs {module}>=')
    assert '"mmtpr[openmmlab]"' in last
    assert '"mmtpr[onedl]"' in last


def test_version_is_pep440():
    assert str(Version(mmtpr.__version__)) == mmtpr.__version__


@pytest.mark.parametrize(
    ('module', 'old'), [(mmengine, '0.10.5'), (mmcv, '1.7.1')]
)
def test_old_versions_are_refused(monkeypatch, module, old):
    monkeypatch.setattr(module, '__version__', old)
    with pytest.raises(ImportError, match=f'found {old}.*mmtpr\\[openmmlab'):
        check_requirements()


def test_untried_versions_only_warn(monkeypatch):
    monkeypatch.setattr(mmengine, '__version__', '7.0.0')
    with pytest.warns(UserWarning, match='not been tried with mmengine 7'):
        check_requirements()


def test_the_installed_versions_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_requirements()


BROKEN = """
class Base: pass
def models():
    raise TypeError('NoneType takes no arguments')
models()
"""


@pytest.fixture
def fake_mmpretrain(monkeypatch, tmp_path):
    """An mmpretrain whose models break on import; return a switch for it."""

    def install(**versions: str) -> None:
        package = tmp_path / 'mmpretrain'
        (package / 'models').mkdir(parents=True)
        (package / '__init__.py').write_text('')
        (package / 'models/__init__.py').write_text(BROKEN)
        for name, version in versions.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / '__init__.py').write_text('')
            info = tmp_path / f'{name}-{version}.dist-info'
            info.mkdir()
            (info / 'METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
            )

    for name in list(sys.modules):
        if name.split('.')[0] in ('mmpretrain', 'pycocotools'):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    # What was there before comes back by itself; the fake would stay.
    for name in list(sys.modules):
        if name.split('.')[0] in ('mmpretrain', 'pycocotools'):
            del sys.modules[name]


def test_broken_mmpretrain_is_explained(fake_mmpretrain):
    fake_mmpretrain(pycocotools='2.0.8', transformers='5.23.0')
    with pytest.raises(ImportError) as caught:
        require_mmpretrain('The config')
    assert str(caught.value) == (
        'The config needs mmpretrain, which cannot be imported while '
        'pycocotools and transformers 5.23.0 are both installed; pip install '
        '"transformers<4.52" or pip uninstall pycocotools.'
    )
    assert isinstance(caught.value.__cause__, TypeError)


def test_other_breakage_shows_its_error(fake_mmpretrain):
    fake_mmpretrain(pycocotools='2.0.8', transformers='4.51.3')
    with pytest.raises(ImportError, match=r'\(TypeError: NoneType takes no'):
        require_mmpretrain('The config')


def hide_mmpretrain(monkeypatch):
    """Submodules too: another test may have imported them."""
    names = [name for name in sys.modules if name.startswith('mmpretrain.')]
    for name in ('mmpretrain', 'mmpretrain.models', *names):
        monkeypatch.setitem(sys.modules, name, None)


def test_absent_mmpretrain_names_the_extra(monkeypatch):
    hide_mmpretrain(monkeypatch)
    cfg = dict(
        backbone=[dict(type='mmtpr.X', module=dict(type='mmpretrain.ResNet'))]
    )
    with pytest.raises(ImportError) as caught:
        check_mmpretrain_types(cfg)
    assert str(caught.value) == (
        '"mmpretrain.ResNet" needs mmpretrain, which is not installed; get it '
        'with pip install "mmtpr[openmmlab]".'
    )


def test_adapter_model_says_what_is_wrong(monkeypatch):
    from mmtpr.registry import MODELS

    hide_mmpretrain(monkeypatch)
    cfg = dict(
        type='mmtpr.WoRAModel',
        module=dict(type='mmpretrain.ResNet', depth=18),
        targets=[dict(type='fc')],
    )
    with pytest.raises(ImportError, match=r'"mmpretrain.ResNet" needs'):
        MODELS.build(cfg)


def test_other_types_do_not_need_mmpretrain(monkeypatch):
    hide_mmpretrain(monkeypatch)
    check_mmpretrain_types(dict(type='mmtpr.A', inner=[dict(type=int), 3]))
