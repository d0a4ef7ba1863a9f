"""Galleries with pages."""

import pytest
from served_page import page_search, write_gallery


@pytest.fixture(scope='session')
def needs_the_extra():
    why = 'the extra [search] is not installed'
    pytest.importorskip('faiss', reason=why)
    pytest.importorskip('pyarrow', reason=why)


@pytest.fixture(scope='session')
def text_gallery(tmp_path_factory, needs_the_extra):
    """Folder of a gallery for sentences, and the retriever."""
    folder = tmp_path_factory.mktemp('gallery ä')
    return folder, write_gallery(folder)


@pytest.fixture(scope='session')
def composed_gallery(tmp_path_factory, needs_the_extra):
    """Folder of a gallery for photos with sentences, and the retriever."""
    folder = tmp_path_factory.mktemp('composed gallery')
    return folder, write_gallery(folder, composed=True)


@pytest.fixture
def text_search(text_gallery):
    return page_search(*text_gallery)


@pytest.fixture
def composed_search(composed_gallery):
    return page_search(*composed_gallery)
