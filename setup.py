"""Packaging of mmtpr: metadata, extras and the ``.mim`` folder.

OpenMMLab tools look for ``configs``, ``tools`` and ``model-index.yml`` in
``mmtpr/.mim``. A wheel carries copies, an editable install links.
"""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'model-index.yml')
EXTRAS = (
    *('openmmlab', 'onedl', 'blip2', 'pa100k', 'lmdb', 'turbojpeg', 'search'),
    *('qdrant', 'demo', 'synthesis', 'webdataset', 'ray', 'onnx'),
    'filtering',
    *('tests', 'docs', 'lint'),
)


def read_version() -> str:
    """Read the version without importing the package."""
    names = {}
    exec((ROOT / 'mmtpr/version.py').read_text(encoding='utf-8'), names)
    return names['__version__']


def read_requirements(name: str) -> list:
    """Read ``requirements/NAME.txt`` without comments and empty lines."""
    text = (ROOT / f'requirements/{name}.txt').read_text(encoding='utf-8')
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_citation(key: str) -> str:
    """Read a line of ``CITATION.cff``; '' if it is not there."""
    text = (ROOT / 'CITATION.cff').read_text(encoding='utf-8')
    found = re.search(rf'^ *(?:- )?{key}: *(.+)$', text, re.M)
    return found[1].strip('\'" ') if found else ''


def read_description(address: str) -> str:
    """Read the README with links that also work on an index page.

    Args:
        address (str): Of the repository. Without one, links to files of it
            become plain text.
    """
    text = (ROOT / 'README.md').read_text(encoding='utf-8')

    def replace(found: re.Match) -> str:
        mark, label, target = found.groups()
        if '://' in target or target.startswith('#'):
            return found[0]
        if not address:
            return ' '.join(label.split())
        kind = 'raw' if mark else 'blob'
        return f'{mark}[{label}]({address}/{kind}/main/{target})'

    return re.sub(r'(!?)\[([^\]]+)\]\(([^)\s]+)\)', replace, text)


def read_extras() -> dict:
    """One extra a file, and ``all-dev``: all that a developer needs."""
    extras = {name: read_requirements(name) for name in EXTRAS}
    dev = ('openmmlab', 'tests', 'docs', 'lint')
    extras['all-dev'] = [line for name in dev for line in extras[name]]
    return extras


def clear(path: Path) -> None:
    """Remove a file, a link or a folder, whichever is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def fill_mim(folder: Path, link: bool) -> None:
    """Put the shipped files into a ``.mim`` folder.

    Args:
        folder (Path): The ``.mim`` folder, made anew.
        link (bool): Whether to link to the sources instead of copying them,
            so that an editable install follows edits.
    """
    clear(folder)
    folder.mkdir(parents=True)
    for name in SHIPPED:
        source, target = ROOT / name, folder / name
        if link:
            try:
                target.symlink_to(os.path.relpath(source, folder))
                continue
            except OSError:  # Windows without the right to make links
                pass
        if source.is_dir():
            skip = shutil.ignore_patterns('__pycache__', '*.pyc')
            shutil.copytree(source, target, ignore=skip)
        else:
            shutil.copy2(source, target)


class BuildWithMim(build_py):
    """``build_py`` that adds ``.mim``; wheels and editable installs use it."""

    def run(self) -> None:
        """Build the package, then its ``.mim`` folder."""
        super().run()
        editable = getattr(self, 'editable_mode', False)
        base = ROOT if editable else Path(self.build_lib)
        fill_mim(base / 'mmtpr/.mim', link=editable)


ADDRESS = read_citation('repository-code')

setup(
    name='mmtpr',
    version=read_version(),
    description='Text-based and composed person retrieval for mmengine',
    author=read_citation('name'),
    url=ADDRESS or None,
    project_urls=(
        {'Source': ADDRESS, 'Changelog': f'{ADDRESS}/blob/main/CHANGELOG.md'}
        if ADDRESS
        else {}
    ),
    long_description=read_description(ADDRESS),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmtpr', 'mmtpr.*']),
    package_data={'mmtpr': ['py.typed', '**/*.json', '**/*.txt', '**/*.yml']},
    include_package_data=False,
    install_requires=read_requirements('runtime'),
    extras_require=read_extras(),
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
    keywords='person retrieval, text-image retrieval, adapters, OpenMMLab',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
