"""Wheel, plain and editable installs, all without the network."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmtpr

SOURCES = (
    'CITATION.cff',
    'LICENSE',
    'MANIFEST.in',
    'README.md',
    'configs',
    'mmtpr',
    'model-index.yml',
    'pyproject.toml',
    'requirements',
    'requirements.txt',
    'setup.py',
    'tools',
)
MIM = 'mmtpr/.mim'
# What the tests bring too, so that none of BLIP-2 is skipped.
BLIP2 = {'transformers'}
SEARCH = {'faiss-cpu', 'pyarrow'}
QDRANT = {'qdrant-client', 'pyarrow'}
FILTERING = {'pyarrow', 'scikit-learn'}
ONNX = {'onnx', 'onnxruntime', 'onnxscript', 'tokenizers'}
TESTS = {'lmdb', 'peft', 'pytest', 'pytest-timeout', 'pytest-xdist'}
TESTS |= {'openai', 'scikit-learn', 'scipy', 'tensorboard'}
MM_STACK = ('mmengine', 'mmcv', 'mmpretrain', 'onedl')

pytestmark = pytest.mark.skipif(
    find_spec('pip') is None or find_spec('setuptools') is None,
    reason='pip and setuptools build the package here',
)


def copy_sources(repo_root: Path, target: Path) -> Path:
    """A copy of what packaging reads, so that the tree stays clean."""
    target.mkdir()
    skip = shutil.ignore_patterns('__pycache__', '.mim')
    for name in SOURCES:
        if (repo_root / name).is_dir():
            shutil.copytree(repo_root / name, target / name, ignore=skip)
        else:
            shutil.copy2(repo_root / name, target / name)
    return target


def run_pip(*args: str, cwd: Path) -> None:
    command = [sys.executable, '-m', 'pip', *args, '-q', '--no-deps']
    command += ['--no-build-isolation', '--no-index']
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def files_below(folder: Path) -> set:
    found = (path.relative_to(folder) for path in folder.rglob('*'))
    return {
        path.as_posix()
        for path in found
        if (folder / path).is_file() and '__pycache__' not in path.parts
    }


@pytest.fixture(scope='module')
def sources(repo_root, tmp_path_factory):
    return copy_sources(repo_root, tmp_path_factory.mktemp('build') / 'src')


@pytest.fixture(scope='module')
def wheel(sources, tmp_path_factory):
    target = tmp_path_factory.mktemp('wheel')
    # A folder left by an editable install must not leak into the wheel.
    (sources / MIM).mkdir(parents=True)
    (sources / MIM / 'stale.py').write_text('')
    run_pip('wheel', '.', '-w', str(target), cwd=sources)
    (path,) = target.glob('*.whl')
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope='module')
def metadata(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith('/METADATA')]
    return Parser().parsestr(wheel.read(name).decode())


def test_wheel_has_all_modules_and_data(wheel, sources):
    package = files_below(sources / 'mmtpr')
    wanted = {name for name in package if not name.startswith('.mim/')}
    found = {
        name.removeprefix('mmtpr/')
        for name in wheel.namelist()
        if name.startswith('mmtpr/') and not name.startswith(MIM)
    }
    assert found == wanted


def test_wheel_has_mim(wheel, sources):
    wanted = {'model-index.yml'}
    for folder in ('configs', 'tools'):
        below = files_below(sources / folder)
        wanted |= {f'{folder}/{name}' for name in below}
    found = {
        name.removeprefix(f'{MIM}/')
        for name in wheel.namelist()
        if name.startswith(MIM)
    }
    assert found == wanted
    assert 'configs/wora_cuhk.py' in found


def test_wheel_has_nothing_else(wheel):
    tops = {name.split('/')[0] for name in wheel.namelist()}
    assert tops == {'mmtpr', f'mmtpr-{mmtpr.__version__}.dist-info'}


def test_metadata_head(metadata):
    assert metadata['Name'] == 'mmtpr'
    assert metadata['Version'] == mmtpr.__version__
    assert metadata['Requires-Python'] == '>=3.10'
    assert set(metadata.get_all('Provides-Extra')) == {
        'openmmlab',
        'onedl',
        'blip2',
        'pa100k',
        'qdrant',
        'demo',
        'synthesis',
        'webdataset',
        'ray',
        'lmdb',
        'turbojpeg',
        'search',
        'onnx',
        'filtering',
        'tests',
        'docs',
        'lint',
        'all-dev',
    }


def test_hard_dependencies_leave_the_mm_stack_alone(metadata):
    required = [
        line
        for line in metadata.get_all('Requires-Dist')
        if 'extra ==' not in line
    ]
    names = {line.split()[0].rstrip(';').split('>')[0] for line in required}
    assert {'torch', 'torchvision', 'numpy', 'packaging'} <= names
    assert not [n for n in names if n.startswith(MM_STACK)]
    (setuptools,) = [n for n in required if n.startswith('setuptools')]
    assert 'python_version >= "3.12"' in setuptools


@pytest.mark.parametrize(
    ('extra', 'wanted'),
    [
        ('openmmlab', {'mmengine', 'mmcv-lite', 'mmpretrain', 'setuptools'}),
        ('onedl', {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain'}),
        ('blip2', BLIP2),
        ('pa100k', {'scipy'}),
        ('lmdb', {'lmdb'}),
        ('turbojpeg', {'PyTurboJPEG'}),
        ('search', SEARCH),
        ('qdrant', QDRANT),
        ('demo', {'gradio'}),
        (
            'synthesis',
            {'accelerate', 'diffusers', 'openai', 'peft', 'transformers'},
        ),
        ('webdataset', {'webdataset'}),
        ('ray', {'ray[data]'}),
        ('onnx', ONNX),
        ('filtering', FILTERING),
        ('tests', {*TESTS, *BLIP2, *SEARCH, *QDRANT, *ONNX, *FILTERING}),
    ],
)
def test_extras(metadata, extra, wanted):
    found = set()
    for line in metadata.get_all('Requires-Dist'):
        if f'extra == "{extra}"' in line:
            name = line.split(';')[0]
            found.add(name.split('<')[0].split('>')[0].strip())
    assert found == wanted


def test_plain_install_runs_from_its_own_mim(sources, tmp_path):
    run_pip('install', '.', '--target', str(tmp_path / 'site'), cwd=sources)
    mim = tmp_path / 'site' / MIM
    assert not mim.is_symlink()
    assert not (mim / 'configs').is_symlink()
    assert (mim / 'configs/wora_cuhk.py').read_bytes() == (
        sources / 'configs/wora_cuhk.py'
    ).read_bytes()


def test_plain_install_has_the_commands(sources, tmp_path):
    run_pip('install', '.', '--target', str(tmp_path / 'site'), cwd=sources)
    for words in (
        ('search', '--help'),
        ('gallery', 'update', '--help'),
        ('serve', '--help'),
    ):
        done = subprocess.run(
            [sys.executable, '-m', 'mmtpr', *words],
            cwd=tmp_path,
            env=os.environ | dict(PYTHONPATH=str(tmp_path / 'site')),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f'usage: {words[0]}.py')
    code = 'import mmtpr.__main__ as m; print(m.find_tool("search"))'
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env=os.environ | dict(PYTHONPATH=str(tmp_path / 'site')),
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()) == (
        tmp_path / 'site' / MIM / 'tools/search.py'
    )


def test_editable_install_links_mim(sources, tmp_path):
    run_pip(
        *('install', '-e', '.', '--ignore-installed'),
        *('--prefix', str(tmp_path / 'prefix')),
        cwd=sources,
    )
    mim = sources / MIM
    assert sorted(path.name for path in mim.iterdir()) == [
        'configs',
        'model-index.yml',
        'tools',
    ]
    assert all(path.is_symlink() for path in mim.iterdir())
    # Links are relative: the tree may be moved.
    assert not (mim / 'configs').readlink().is_absolute()
    (sources / 'configs/new.py').write_text('a = 1\n')
    assert (mim / 'configs/new.py').read_text() == 'a = 1\n'
    pth = list((tmp_path / 'prefix').rglob('__editable__*mmtpr*'))
    assert pth


def test_version_file_needs_no_package(repo_root):
    names = {}
    exec((repo_root / 'mmtpr/version.py').read_text(), names)
    assert names['__version__'] == mmtpr.__version__


def test_requirements_declare_what_is_imported(repo_root):
    """Third-party modules of mmtpr are dependencies of it or of its stack."""
    declared = {
        # cv2: of mmengine and mmcv; naming one of its distributions here would
        # put it beside the other.
        'PIL', 'cv2', 'ftfy', 'huggingface_hub', 'matplotlib', 'numpy',
        'open_clip', 'packaging', 'safetensors', 'torch', 'torchvision',
        'mmengine', 'mmcv', 'mmpretrain', 'mmtpr',
    }  # fmt: skip
    found = set()
    for path in (repo_root / 'mmtpr').rglob('*.py'):
        if '.mim' in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split('.')[0])
    undeclared = found - declared - set(sys.stdlib_module_names)
    assert not undeclared, f'add {undeclared} to requirements/runtime.txt'
    runtime = (repo_root / 'requirements/runtime.txt').read_text().split()
    for name in ('matplotlib', 'numpy', 'pillow', 'torchvision'):
        assert name in runtime


def test_sdist_is_complete(repo_root, tmp_path):
    """Whoever unpacks it can run the tests and build the docs."""
    git = ['git', '-C', str(repo_root), 'ls-files', '-z']
    listed = subprocess.run(git, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip('the tree is no git clone')
    tracked = {name for name in listed.stdout.split('\0') if name}
    tree = tmp_path / 'tree'
    for name in tracked:
        if (repo_root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repo_root / name, tree / name)
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'sdist'],
        cwd=tree,
        check=True,
        capture_output=True,
    )
    (path,) = (tree / 'dist').glob('*.tar.gz')
    with tarfile.open(path) as archive:
        packed = {n.partition('/')[2] for n in archive.getnames()}
    absent = {
        name
        for name in tracked - packed
        if not name.startswith(('.ci/', '.github/')) and name != '.gitignore'
    }
    assert not absent
    assert not [n for n in packed if n.startswith('.git/') or '.venv' in n]


@pytest.mark.parametrize('address', ['', 'https://example.org/mmtpr'])
def test_links_of_the_readme_on_an_index_page(sources, address, tmp_path):
    tree = tmp_path / 'src'
    shutil.copytree(sources, tree, ignore=shutil.ignore_patterns('.mim'))
    with open(tree / 'CITATION.cff', 'a', encoding='utf-8') as file:
        file.write(f'repository-code: "{address}"\n' if address else '')
    run_pip('wheel', '.', '-w', str(tmp_path), cwd=tree)
    (path,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith('/METADATA')]
        found = Parser().parsestr(archive.read(name).decode())
    text = found.get_payload()
    assert 'mmtpr' in text
    links = re.findall(r'\]\(([^)]+)\)', text)
    assert links
    assert all(link.startswith(('https://', '#')) for link in links)
    assert found['Author'] == 'The mmtpr authors'
    if address:
        assert f'{address}/blob/main/docs/get_started.md' in links
        assert f'{address}/raw/main/docs/_static/ranking.png' in links
        assert f'Source, {address}' in found.get_all('Project-URL')
