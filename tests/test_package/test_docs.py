"""What the documentation names is there, and its code runs."""

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from called_tool import CalledTool
from mmengine.config import Config
from mmengine.registry import OPTIM_WRAPPERS, DefaultScope

from mmtpr.registry import DATASETS, LOOPS, METRICS, MODELS
from mmtpr.testing import shrink_config, write_tiny_data

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob('*.md'),
        *(ROOT / 'docs').rglob('*.md'),
        *(ROOT / 'configs').rglob('*.md'),
    ]
)
PAGES = [page for page in PAGES if '_build' not in page.parts]
LINK = re.compile(r'\]\(([^)#\s]+)(#[\w-]*)?\)')
NAMED = re.compile(
    r'(?<![\w/.])(?:configs|tools|scripts|benchmarks|docs|tests)/'
    r'[\w./-]*\.(?:py|sh|md|yml)\b'
)
# Pages whose commands change settings, checked against the configs.
REPRODUCED = [
    *sorted((ROOT / 'docs/advanced').glob('*.md')),
    *(ROOT / f'configs/{name}/README.md' for name in ('aptm', 'wora_aptm')),
]
ELLIPSIS = re.compile(r',\s*\.\.\.(?=\s*[,)])')
BLOCK = re.compile(r'^```(\w+)\n(.*?)^```', re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding='utf-8')
    targets = [target for target, _ in LINK.findall(text)]
    local = [t for t in targets if not t.startswith(('http', 'mailto'))]
    dead = [t for t in local if not (page.parent / t).exists()]
    assert not dead


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_named_files_exist(page):
    text = page.read_text(encoding='utf-8')
    missing = [n for n in NAMED.findall(text) if not (ROOT / n).exists()]
    assert not missing


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_python_blocks_compile(page):
    for kind, code in BLOCK.findall(page.read_text(encoding='utf-8')):
        if kind == 'python':
            compile(ELLIPSIS.sub('', code), name_of(page), 'exec')


def options_of(tool: Path) -> set:
    """Long options in a tool's source and in those that tools share."""
    sources = [tool, ROOT / 'mmtpr/utils/options.py']
    text = '\n'.join(path.read_text(encoding='utf-8') for path in sources)
    return set(re.findall(r"'(--[\w-]+)'", text))


def help_of(tool: Path) -> str:
    command = [sys.executable, tool, '--help']
    return subprocess.run(command, capture_output=True, text=True).stdout


def commands(page: Path):
    """Calls of tools in the shell blocks of a page: tool and its options."""
    for kind, code in BLOCK.findall(page.read_text(encoding='utf-8')):
        if kind != 'bash':
            continue
        for line in code.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            for i, word in enumerate(words):
                if re.match(r'tools/.*\.\w+$', word):
                    options = [w for w in words[i:] if w.startswith('--')]
                    yield ROOT / word, {w.split('=')[0] for w in options}


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_options_in_commands_exist(page):
    for tool, used in commands(page):
        if tool.suffix == '.sh':
            name = 'train' if 'train' in tool.name else 'test'
            tool = ROOT / f'tools/{name}.py'
        unknown = used - options_of(tool)
        # Some are put together at run time.
        unknown = unknown and [o for o in unknown if o not in help_of(tool)]
        assert not unknown, f'{tool.name} has no {unknown}'


def overrides(page: Path):
    """Settings that commands of a page change: config, key, page's text."""
    for kind, code in BLOCK.findall(page.read_text(encoding='utf-8')):
        lines = code.replace('\\\n', ' ').splitlines()
        for line in lines if kind == 'bash' else ():
            words = shlex.split(line, comments=True)
            config = [w for w in words if re.match(r'configs/.*\.py$', w)]
            if '--cfg-options' not in words or not config:
                continue
            for word in words[words.index('--cfg-options') + 1 :]:
                if word.startswith('-'):
                    break
                yield config[0], word.split('=')[0]


def takes(part: dict, name: str) -> bool:
    """Whether a part of a config has a setting, or its type knows it."""
    if name in part or 'type' not in part:
        return name in part
    registries = (MODELS, DATASETS, METRICS, LOOPS, OPTIM_WRAPPERS)
    with DefaultScope.overwrite_default_scope('mmtpr'):
        found = [r.get(part['type']) for r in registries]
    known = [list(inspect.signature(cls).parameters) for cls in found if cls]
    return any(name in names for names in known)


@pytest.mark.parametrize('page', REPRODUCED, ids=name_of)
def test_overridden_settings_exist(page):
    """A key that no part takes would be put into the config unnoticed."""
    checked = 0
    for config, key in overrides(page):
        part = Config.fromfile(ROOT / config)
        *parents, last = key.split('.')
        for name in parents:
            assert name in part, f'{key} in {config}'
            part = part[name]
        assert takes(part, last), f'{key} in {config}'
        checked += 1
    assert checked or page.name != 'reproduce_filtering_wora.md'


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_named_tests_exist(page):
    text = page.read_text(encoding='utf-8')
    for path, name in re.findall(r'(tests/[\w/]+\.py)::(\w+)', text):
        code = (ROOT / path).read_text(encoding='utf-8')
        assert re.search(rf'^ *def {name}\(', code, re.MULTILINE), name


def test_adapter_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / 'docs/user_guides/adapters.md'
    blocks = BLOCK.findall(page.read_text(encoding='utf-8'))
    (code,) = [c for kind, c in blocks if 'inject_adapters(' in c]
    exec(compile(code, str(page), 'exec'), {})
    assert (tmp_path / 'adapter.pth').is_file()


@pytest.fixture(scope='module')
def first_steps(tmp_path_factory):
    """A folder with all that the first code of the documentation names."""
    folder = tmp_path_factory.mktemp('first_steps')
    write_tiny_data(folder / 'data')
    (folder / 'data/imgs/test').rename(folder / 'photos')
    (folder / 'configs').mkdir()
    cfg = shrink_config(ROOT / 'configs/irra_cuhk.py', folder / 'data')
    with DefaultScope.overwrite_default_scope('mmtpr'):
        model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), folder / 'irra.pth')
    cfg.model.encoder.pretrained = str(folder / 'irra.pth')
    cfg.dump(folder / 'configs/irra_cuhk.py')
    return folder


@pytest.mark.parametrize('page', ['README.md', 'docs/get_started.md'])
def test_first_python_finds_persons(page, first_steps, monkeypatch, capsys):
    """It runs as it is written; only what it names is small."""
    monkeypatch.chdir(first_steps)
    shutil.rmtree('found', ignore_errors=True)
    blocks = BLOCK.findall((ROOT / page).read_text(encoding='utf-8'))
    code = next(code for kind, code in blocks if kind == 'python')
    assert 'PersonRetrievalInferencer(' in code
    names = {}
    exec(compile(code, page, 'exec'), names)
    (prediction,) = names['found']['predictions']
    photos = {str(path) for path in Path('photos').iterdir()}
    assert set(prediction['paths']) == photos
    assert prediction['paths'][0] in capsys.readouterr().out
    assert len(list(Path('found').glob('*.png'))) == 1


@pytest.mark.parametrize('page', ['README.md', 'docs/get_started.md'])
def test_first_search_finds_persons(page, first_steps, monkeypatch, capsys):
    """The commands run as they are written."""
    pytest.importorskip('faiss', reason='the extra [search]')
    pytest.importorskip('pyarrow', reason='the extra [search]')
    monkeypatch.chdir(first_steps)
    shutil.rmtree('my_gallery', ignore_errors=True)
    Path('found.html').unlink(missing_ok=True)
    blocks = BLOCK.findall((ROOT / page).read_text(encoding='utf-8'))
    text = next(code for _, code in blocks if 'tools/search.py' in code)
    commands = [
        shlex.split(line)
        for line in text.replace('\\\n', ' ').strip().splitlines()
    ]
    assert [words[0] for words in commands] == ['python', 'python']
    for _, tool, *words in commands:
        out = CalledTool(ROOT / tool, monkeypatch, capsys)(*words)
    photos = {path.name for path in Path('photos').iterdir()}
    assert all(name in out for name in photos)
    page = Path('found.html').read_text(encoding='utf-8')
    assert page.count('<img') == len(photos)


@pytest.mark.parametrize('page', ['README.md', 'docs/get_started.md'])
def test_first_screen_is_the_task_of_a_user(page):
    """Install, code, a search, its image, the configs, and then the demo."""
    text = (ROOT / page).read_text(encoding='utf-8')
    parts = [
        'pip install -e',
        'PersonRetrievalInferencer(',
        'tools/search.py',
        'ranking.png',
        'Which config is which paper',
        '\nmake demo ',
        '\nmake test ',
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_readme_names_the_demo_and_responsible_use():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    blocks = [code for kind, code in BLOCK.findall(text) if kind == 'bash']
    (block,) = [code for code in blocks if 'make demo ' in code]
    assert [line.split()[:2] for line in block.splitlines()] == [
        ['make', 'demo'],
        ['make', 'test'],
    ]
    assert 'Responsible use' in text.split('\n## What is in it')[0]


def which_config(page: str) -> list[str]:
    """Rows of the table that says which config is which paper."""
    text = (ROOT / page).read_text(encoding='utf-8')
    text = text.split('# Which config is which paper')[1].split('\n## ')[0]
    return [line for line in text.splitlines() if line.startswith('| ')]


def test_table_of_papers_is_the_same_on_both_pages():
    assert which_config('README.md') == which_config('docs/which_config.md')


def test_table_of_papers_names_every_short_config():
    """``_icfg.py`` stands for a name like the one before it."""
    named, last = set(), ''
    for row in which_config('README.md')[2:]:
        for name in re.findall(r'`([\w/]+\.py)`', row.split('|')[1]):
            if name.startswith('_'):
                name = last.rpartition('_')[0] + name
            last = name
            named.add(name)
    assert all((ROOT / 'configs' / name).is_file() for name in named)
    short = {path.name for path in (ROOT / 'configs').glob('*.py')}
    assert short <= named


LAYOUT = ROOT / 'docs/advanced/code_layout.md'


def rows_of(page: Path) -> list[list[str]]:
    """Cells of all tables of a page."""
    lines = page.read_text(encoding='utf-8').splitlines()
    rows = [line.strip('|').split('|') for line in lines if line[:2] == '| ']
    return [[cell.strip() for cell in row] for row in rows]


def test_layout_page_names_what_is_there():
    text = LAYOUT.read_text(encoding='utf-8')
    named = re.findall(r'`((?:mmtpr|tools|docs|tests|configs)/[\w/.]+)`', text)
    assert len(named) > 60
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_layout_page_walks_through_functions_that_are_there():
    checked = 0
    for first, *_, last in rows_of(LAYOUT):
        if not re.fullmatch(r'`[\w/]+\.py`', first):
            continue
        code = (ROOT / first.strip('`')).read_text(encoding='utf-8')
        for name in re.findall(r'`(\w+)`', last):
            if last.replace('`', '').replace(', ', '').isidentifier():
                assert re.search(rf'^ *(def|class) {name}\b', code, re.M), (
                    f'{name} is not in {first}'
                )
                checked += 1
    assert checked > 50


def test_layout_page_has_the_folders_in_the_order_of_imports():
    rows = [row for row in rows_of(LAYOUT) if len(row) == 2]
    names = [
        Path(first.strip('`')).stem
        for first, _ in rows
        if first.startswith('`mmtpr/')
    ]
    layers = (ROOT / 'tests/test_package/test_layers.py').read_text()
    (order,) = re.findall(r'LAYERS = \((.*?)\)', layers, re.DOTALL)
    assert names == re.findall(r"'(\w+)'", order)


def expanded(name: str) -> list[str]:
    """``a.{b,c}`` -> ``a.b``, ``a.c``."""
    start, _, rest = name.partition('{')
    inner, _, end = rest.partition('}')
    return [start + x + end for x in inner.split(',')] if rest else [name]


def test_changelog_sends_modules_to_where_they_are():
    page = ROOT / 'CHANGELOG.md'
    text = page.read_text(encoding='utf-8').split('## [Unreleased]')[1]
    assert '### Where modules have moved' in text.split('\n## ')[0]
    rows = [row for row in rows_of(page) if row[0].startswith('`mmtpr.')]
    assert len(rows) > 20
    for former, now, *_ in rows:
        before = expanded(former.split('`')[1])
        after = expanded(now.split('`')[1])
        assert len(after) in (1, len(before)), former
        for name in after:
            path = ROOT / name.replace('.', '/')
            assert path.with_suffix('.py').is_file(), name


def test_settings_page_names_keys_that_are_there():
    """Keys are those of WoRA on CLIP, but for those of another adapter."""
    rows = rows_of(ROOT / 'docs/user_guides/configs.md')
    cells = [row[1] for row in rows if len(row) == 3]
    keys = re.findall(r'`(\w+\.[\w.]+)`', ' '.join(cells))
    assert len(keys) > 18
    for key in keys:
        name = 'lora' if 'adapter' in key else 'wora'
        part = Config.fromfile(ROOT / f'configs/{name}_cuhk.py')
        for step in key.split('.'):
            part = part[int(step) if step.isdigit() else step]


def test_settings_page_names_variables_that_are_there():
    for row in rows_of(ROOT / 'docs/user_guides/configs.md'):
        for path in re.findall(r'`(configs/[\w/]+\.py)`', row[-1]):
            before = row[-1].split(f'`{path}`')[0].split('.py`')[-1]
            code = (ROOT / path).read_text(encoding='utf-8')
            for name in re.findall(r'`(\w+)`', before):
                assert re.search(rf'\b{name}\b.*=', code), f'{name}, {path}'
