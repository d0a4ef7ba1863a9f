import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from filtering_case import (  # noqa: F401
    IDS,
    PAIRS,
    arguments,
    command,
    environment,
    place,
    tool,
    whole,
)
from mmengine.config import Config

from mmtpr.datasets import CUHKPEDES, RelevanceFilteredDataset
from mmtpr.filtering import load_scores, sample_bank
from mmtpr.registry import MODELS
from mmtpr.testing import write_tiny_cuhk


def test_scores_are_those_of_the_model(place, whole):
    scores = load_scores(whole)
    assert len(scores) == PAIRS
    assert not (place / 'scores.npz.shards').exists()
    cfg = Config.fromfile(place / 'config.py')
    data = CUHKPEDES(data_root=str(place / 'data'))
    captions = [data.get_data_info(i)['caption'] for i in range(PAIRS)]
    bank = sample_bank(captions, 30, 0)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(
        torch.load(place / 'model.pth', weights_only=True)['state_dict']
    )
    from mmengine.dataset import Compose, pseudo_collate

    pipeline = Compose(cfg.test_dataloader.dataset.pipeline)

    def inputs(entries):
        batch = pseudo_collate([pipeline(entry) for entry in entries])
        return model.data_preprocessor(batch)['inputs']

    pairs = inputs([data.get_data_info(i) for i in range(PAIRS)])
    texts = inputs([dict(caption=text) for text in bank])
    with torch.no_grad():
        images = model.extract_image_feat(pairs['image'])[:, 0]
        own = (images * model.extract_text_feat(pairs['tokens'])).sum(1)
        others = images @ model.extract_text_feat(texts['tokens']).T
    for i, caption in enumerate(captions):
        if caption in bank:
            others[i, bank.index(caption)] = -2
    low = 1 + (others >= own[:, None] + 1e-5).sum(1).numpy()
    high = 1 + (others >= own[:, None] - 1e-5).sum(1).numpy()
    assert (low <= scores.rank).all()
    assert (scores.rank <= high).all()
    np.testing.assert_allclose(scores.score, own.numpy(), atol=1e-5)
    assert scores.meta['scorer']['checkpoint'].endswith('model.pth')
    assert scores.meta['bank']['size'] == 30


def test_the_filter_takes_the_scores(place, whole):
    cfg = Config.fromfile(place / 'config.py').train_dataloader.dataset
    cfg.pop('type')
    dataset = RelevanceFilteredDataset(**cfg)
    scores = load_scores(whole)
    assert len(dataset) == (scores.rank <= 10).sum()
    assert 0 < len(dataset) < PAIRS


def test_same_result_whatever_shards_and_workers(place, whole, tool, tmp_path):
    out = tmp_path / 'scores.npz'
    more = ['--shard-size', '50', '--num-workers', '2', '--batch-size', '7']
    tool('score_relevance', arguments(place, out, *more))
    ours, other = load_scores(out), load_scores(whole)
    # Other batches may differ in the last bit and so in a close rank.
    np.testing.assert_allclose(ours.score, other.score, atol=1e-6)
    assert (ours.rank == other.rank).mean() > 0.95
    assert os.listdir(tmp_path) == ['scores.npz']


# Runs a tool that writes down which shards it finishes, and dies after one.
WATCHED = """
import os, runpy, signal, sys
from mmtpr.filtering.shards import ShardStore

log, last, *sys.argv = sys.argv[1:]
save = ShardStore.save

def watched(store, index, rank, score):
    save(store, index, rank, score)
    with open(log, 'a') as file:
        print(index, file=file)
    if index == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

ShardStore.save = watched
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_killed_and_resumed_is_bit_identical(
    place, repo_root, whole, tmp_path
):
    out = tmp_path / 'killed.npz'
    args = arguments(place, out, '--shard-size', '1')
    _, *tool = command(repo_root, args)

    def run(last):
        log = tmp_path / 'log.txt'
        log.write_text('')
        done = subprocess.run(
            [sys.executable, '-c', WATCHED, str(log), str(last), *tool],
            env=environment(),
            capture_output=True,
            text=True,
        )
        return done, [int(line) for line in log.read_text().split()]

    done, first = run(4)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert first == [*range(5)]
    shards = tmp_path / 'killed.npz.shards'
    finished = [n for n in os.listdir(shards) if n.startswith('shard_')]
    assert len(finished) == 5
    assert not out.exists()
    done, second = run(PAIRS)
    assert done.returncode == 0, done.stderr
    assert second == [*range(5, PAIRS)]
    text = done.stdout + done.stderr
    assert f'{len(finished)} of {PAIRS} shards were finished' in text
    assert out.read_bytes() == whole.read_bytes()
    assert not shards.exists()


@pytest.mark.dist
def test_two_processes_give_the_same(place, repo_root, tmp_path):
    """On uneven kernels, with an image that cannot be read."""
    cfg = Config.fromfile(place / 'config.py')
    cfg.custom_imports = dict(imports=['uneven_retriever'])
    cfg.model.type = 'UnevenRetriever'
    shutil.copytree(place / 'data', tmp_path / 'data')
    for loader in (cfg.train_dataloader.dataset, cfg.test_dataloader):
        loader.dataset.data_root = str(tmp_path / 'data')
    record = json.loads((tmp_path / 'data/reid_raw.json').read_text())[5]
    broken = tmp_path / 'data/imgs' / record['file_path']
    broken.write_bytes(b'')
    cfg.dump(tmp_path / 'config.py')
    shutil.copy(place / 'model.pth', tmp_path)
    env = environment()
    paths = [repo_root / 'tests/helpers', env.get('PYTHONPATH', '')]
    env['PYTHONPATH'] = os.pathsep.join(map(str, paths))
    scores = {}
    for world in (1, 2):
        out = tmp_path / str(world) / 'scores.npz'
        args = arguments(tmp_path, out, '--shard-size', '3', '--skip-broken')
        if world > 1:
            args += ['--launcher', 'pytorch']
        run = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
        run += ['--local-addr', '127.0.0.1', '--nproc-per-node', str(world)]
        run = [*(run if world > 1 else run[:1]), *command(repo_root, args)[1:]]
        subprocess.run(run, check=True, env=env)
        scores[world] = out.read_bytes()
        assert os.listdir(out.parent) == ['scores.npz']
    assert scores[1] == scores[2]


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--bank-size', '41'], 'bank of 41 captions .* only 40 different'),
        (['--dataset', 'train.data'], 'no "train.data": "train" is not'),
        (['--pipeline', 'nothing'], 'no "nothing"'),
        (['--bank', 'absent.txt'], 'absent.txt" does not exist'),
        (['--out', 'scores.json'], 'must end in .npz'),
        (['--cfg-options', 'test_dataloader=None'], '--pipeline KEY'),
        (
            ['--cfg-options', 'model.encoder.model.embed_dim=16'],
            'model.pth" does not fit the model',
        ),
    ],
)
def test_mistakes_end_with_one_message(place, tool, tmp_path, more, message):
    args = arguments(place, tmp_path / 's.npz', *more)
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        tool('score_relevance', args)
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_of_another_model(place, tool, tmp_path):
    state = torch.load(place / 'model.pth', weights_only=True)['state_dict']
    del state['encoder.clip.text_projection']
    torch.save(state, tmp_path / 'other.pth')
    args = arguments(place, tmp_path / 's.npz')
    args[1] = str(tmp_path / 'other.pth')
    with pytest.raises(
        SystemExit, match=r'1 missing key .encoder.clip.text_projection'
    ):
        tool('score_relevance', args)


def test_another_number_of_identities_is_no_matter(place, tool, tmp_path):
    args = arguments(
        place,
        tmp_path / 's.npz',
        '--cfg-options',
        'model.losses.id.num_classes=7',
    )
    tool('score_relevance', args)
    assert len(load_scores(tmp_path / 's.npz')) == PAIRS


def test_smaller_bank_on_demand(place, tool, tmp_path):
    args = arguments(
        place, tmp_path / 's.npz', '--bank-size', '99', '--allow-smaller-bank'
    )
    tool('score_relevance', args)
    assert load_scores(tmp_path / 's.npz').meta['bank']['size'] == 40


def test_broken_image(place, tool, tmp_path):
    root = write_tiny_cuhk(tmp_path / 'data', IDS, images_per_id=3)
    (root / 'imgs/train/0003_1.png').write_bytes(b'no image')
    option = f'train_dataloader.dataset.dataset.data_root={root}'
    args = arguments(place, tmp_path / 's.npz', '--cfg-options', option)
    with pytest.raises(SystemExit, match=r'1 of 60 images.*0003_1\.png'):
        tool('score_relevance', args)
    tool('score_relevance', [*args, '--skip-broken'])
    scores = load_scores(tmp_path / 's.npz')
    lost = np.flatnonzero(~np.isfinite(scores.score))
    assert lost.tolist() == [20, 21]
    assert scores.rank[lost].tolist() == [31, 31]
