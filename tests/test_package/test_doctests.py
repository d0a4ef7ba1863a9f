"""The ``>>>`` examples of docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest
from mmengine.logging import MMLogger

import mmtpr

#: Examples with files of the user; test_docs.py runs the like on small ones.
OF_THE_USER = (
    'mmtpr.apis.person_retrieval_inferencer.PersonRetrievalInferencer',
    'mmtpr.apis.gallery_searcher.GallerySearcher',
    'mmtpr.gallery.qdrant_store.QdrantStore',  # wants a server
    'mmtpr.export.pretrained.PretrainedRetriever',
)
# Examples are Python a user may paste; shown in parts, they need no output.
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples():
    for info in pkgutil.walk_packages(mmtpr.__path__, 'mmtpr.'):
        if '.mim' in info.name:
            continue
        module = importlib.import_module(info.name)
        finder = doctest.DocTestFinder(exclude_empty=True)
        for test in finder.find(module, info.name):
            if test.examples and test.name not in OF_THE_USER:
                yield test


TESTS = list(examples())


def test_there_are_examples():
    assert len(TESTS) > 30


@pytest.mark.parametrize('test', TESTS, ids=[test.name for test in TESTS])
def test_example(test, tmp_path, monkeypatch):
    import torch
    from torch import nn

    if test.name.startswith('mmtpr.gallery.faiss_store'):
        for name in ('faiss', 'pyarrow'):
            pytest.importorskip(name, reason='stores need the extra [search]')
    monkeypatch.chdir(tmp_path)
    MMLogger.get_instance('examples', log_level='ERROR')  # no lines between
    test.globs.update(torch=torch, nn=nn)
    texts = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    runner.run(test, out=texts.append)
    assert runner.failures == 0, '\n'.join(texts)
