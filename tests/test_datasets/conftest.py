"""Small datasets on disk."""

import json
import logging

import mmcv
import numpy as np
import pytest
from mmengine.logging import MMLogger


def person(pid, view, split='train', captions=None, **extra):
    """One record in the layout of reid_raw.json."""
    if captions is None:
        captions = [f'Person {pid} from side {view}.', f'This is {pid} {view}']
    return dict(
        id=pid,
        split=split,
        file_path=f'cam/{pid}_{view}.jpg',
        captions=captions,
        **extra,
    )


@pytest.fixture
def records():
    """4 train, 2 val and 2 test persons with 2 images each."""
    splits = ['train'] * 4 + ['val'] * 2 + ['test'] * 2
    return [
        person(pid, view, split)
        for pid, split in enumerate(splits, start=10)
        for view in range(2)
    ]


@pytest.fixture
def write(tmp_path):
    """Write an annotation file and its images; gives the data root."""

    def to_disk(content, name='reid_raw.json', images='imgs', key='file_path'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding='utf-8')
            content = []
        else:
            path.write_text(json.dumps(content), encoding='utf-8')
        (tmp_path / images).mkdir(parents=True, exist_ok=True)
        for record in content:
            if isinstance(record, dict) and isinstance(record.get(key), str):
                target = tmp_path / images / record[key]
                if not target.exists():
                    rng = np.random.default_rng(len(record))
                    img = rng.integers(0, 255, (24, 12, 3))
                    mmcv.imwrite(img.astype(np.uint8), str(target))
        return str(tmp_path)

    return to_disk


@pytest.fixture
def log():
    """Lines that mmengine's current logger was given."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = MMLogger.get_current_instance()
    handler = Keep()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
