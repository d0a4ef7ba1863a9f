"""Small images, as files and packed."""

import pytest

from mmtpr.testing import write_tiny_cuhk


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """A dataset with its images as files."""
    return write_tiny_cuhk(tmp_path_factory.mktemp('images'))


@pytest.fixture
def names(images):
    """Names of the images."""
    folder = images / 'imgs'
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob('*.png')
    )
