"""The search of the demo's images, with a small model in its place."""

import os
import shutil
import subprocess
import sys

import pytest
from gallery_model import write_image, write_model

pytest.importorskip('faiss', reason='the extra [search] is not installed')
pytest.importorskip('pyarrow', reason='the extra [search] is not installed')


@pytest.fixture
def run(tmp_path, repo_root):
    shutil.copytree(repo_root / 'tools', tmp_path / 'tools')

    def start():
        return subprocess.run(
            [sys.executable, 'tools/demo_search.py'],
            cwd=tmp_path,
            env=dict(os.environ, PYTHONPATH=str(repo_root), PYTHONUTF8='1'),
            capture_output=True,
            text=True,
            encoding='utf-8',
        )

    return start


def test_before_the_demo_it_says_so(run):
    done = run()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        'error: There is no model and no image of the demo yet: run "make '
        'demo" first, which takes some minutes.'
    ]


def test_two_sentences(run, tmp_path):
    config, checkpoint = write_model(tmp_path / 'model')
    (tmp_path / 'configs').mkdir()
    shutil.move(config, tmp_path / 'configs/wora_toy.py')
    (tmp_path / 'work_dirs/wora_toy').mkdir(parents=True)
    best = tmp_path / 'work_dirs/wora_toy/best_mAP_epoch_3.pth'
    shutil.move(checkpoint, best)
    for number in range(7):
        path = tmp_path / f'data/toy/target/imgs/test/{number}.png'
        write_image(path, (30 * number, 0, 200))
    done = run()
    assert done.returncode == 0, done.stderr
    assert '7 images; 7 new' in done.stdout
    assert done.stdout.count('rank') == 2
    page = tmp_path / 'work_dirs/demo/search.html'
    assert page.read_text('utf-8').count('<img ') == 10
    done = run()  # once more: nothing is embedded again
    assert '7 images; 0 new, 0 changed, 0 vanished, 7 as they' in done.stdout
    # Of another model there is another store.
    best.unlink()
    _, checkpoint = write_model(tmp_path / 'model', seed=1)
    shutil.move(checkpoint, best)
    assert '7 images; 7 new' in run().stdout
