"""Scoring with a scorer whose embeddings are known."""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtpr.filtering import load_scores, own_indices, relevance_rank
from mmtpr.filtering.run import describe_run, run_scoring
from mmtpr.structures.pairs import Pairs
from mmtpr.utils.errors import LaunchError

BANK = [f'caption {i}' for i in range(0, 30, 2)]
SCORER = dict(fingerprint='model a', precision='float32')


def vector(text, rows):
    seed = sum(ord(c) * 31**i for i, c in enumerate(text)) % 2**31
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, 16, generator=generator), dim=-1)


class Scorer:
    """Embeddings by name; can stop, and knows broken images."""

    def __init__(self, stop_after=None, broken=()):
        self.images, self.captions = [], []
        self.stop_after, self.broken = stop_after, broken

    def embed_images(self, samples, on_batch=None):
        if self.stop_after is not None and not self.stop_after:
            raise KeyboardInterrupt
        self.stop_after = self.stop_after and self.stop_after - 1
        names = [os.path.basename(sample['img_path']) for sample in samples]
        assert not any('caption' in sample for sample in samples)
        self.images.append(names)
        on_batch(len(samples))
        tokens = torch.stack([vector(name, 3) for name in names])
        bad = [i for i, name in enumerate(names) if name in self.broken]
        return tokens, dict.fromkeys(bad, 'cut off')

    def embed_captions(self, captions):
        self.captions.append(list(captions))
        return torch.stack([vector(text, 1)[0] for text in captions])


class Data:
    """Ten images of three captions; images come in a row."""

    def __len__(self):
        return 30

    def get_data_info(self, index):
        return dict(
            img_path=f'/x/imgs/{index // 3}.jpg', caption=f'caption {index}'
        )


def pairs():
    infos = [Data().get_data_info(i) for i in range(30)]
    return Pairs(
        Data(), [i['img_path'] for i in infos], [i['caption'] for i in infos]
    )


def run(scorer, out, shard_size=7, who=SCORER, bank=BANK, **kwargs):
    meta = describe_run(pairs(), bank, who, dict(source='x', seed=0))
    return run_scoring(scorer, pairs(), bank, meta, out, shard_size, **kwargs)


def expected():
    data = pairs()
    names = [os.path.basename(path) for path in data.paths]
    tokens = torch.stack([vector(name, 3) for name in names])
    captions = torch.stack([vector(text, 1)[0] for text in data.captions])
    bank = torch.stack([vector(text, 1)[0] for text in BANK])
    own = own_indices(data.captions, BANK)
    return relevance_rank(tokens, captions, bank, own_index=own).tolist()


def test_scores_and_what_the_file_says(tmp_path):
    out = tmp_path / 's.npz'
    scores = run(Scorer(), out)
    assert scores.rank.tolist() == expected()
    assert os.listdir(tmp_path) == ['s.npz']
    found = load_scores(out)
    np.testing.assert_array_equal(found.rank, scores.rank)
    assert found.meta['data']['name'] == 'Data'
    assert found.meta['data']['length'] == 30
    assert found.meta['data']['fingerprint'] == pairs().fingerprint
    assert found.meta['bank']['size'] == 15
    assert found.meta['bank']['seed'] == 0
    assert found.meta['scorer'] == SCORER


def test_progress_counts_all_pairs_and_the_bank(tmp_path, counted):
    seen = counted('filtering.scoring')
    scorer = Scorer()
    scorer.batch_size = 4
    scores = run(scorer, tmp_path / 's.npz')
    assert seen == {
        'Embedding the captions of the bank': [15, 15],
        'Scoring pairs': [30, 30],
    }
    # The bank in the batches that the scorer makes; nothing changes.
    assert [len(part) for part in scorer.captions[:4]] == [4, 4, 4, 3]
    assert scores.rank.tolist() == expected()


def test_shared_images_are_embedded_once():
    scorer = Scorer()
    data = pairs()
    data.captions[1] = data.captions[0]
    from mmtpr.filtering.scoring import score_shard

    bank = scorer.embed_captions(BANK)
    own = own_indices(data.captions, BANK)
    seen = []
    score_shard(scorer, data, bank, own[:8], (0, 8), seen.append)
    assert scorer.images == [['0.jpg', '1.jpg', '2.jpg']]
    assert len(scorer.captions[1]) == 7
    assert seen == [8]


def test_shard_size_changes_nothing(tmp_path):
    for size in (1, 4, 30, 1000):
        scores = run(Scorer(), tmp_path / f'{size}.npz', size)
        assert scores.rank.tolist() == expected()


def test_interrupted_run_goes_on(tmp_path):
    whole = run(Scorer(), tmp_path / 'whole.npz')
    out = tmp_path / 's.npz'
    with pytest.raises(KeyboardInterrupt):
        run(Scorer(stop_after=2), out)
    shards = sorted(os.listdir(tmp_path / 's.npz.shards'))
    assert shards == ['run.json', 'shard_000000.npz', 'shard_000001.npz']
    assert not out.exists()
    second = Scorer()
    run(second, out)
    assert len(second.images) == 3  # of five
    assert out.read_bytes() == (tmp_path / 'whole.npz').read_bytes()
    assert len(whole) == 30


@pytest.mark.parametrize(
    ('change', 'what'),
    [
        (dict(who=dict(SCORER, fingerprint='model b')), 'scorer'),
        (dict(who=dict(SCORER, precision='bfloat16')), 'precision'),
        (dict(bank=BANK[:-1]), 'bank'),
    ],
)
def test_parts_of_another_run_are_not_mixed_in(tmp_path, change, what):
    out = tmp_path / 's.npz'
    with pytest.raises(KeyboardInterrupt):
        run(Scorer(stop_after=2), out)
    with pytest.raises(ValueError, match=f'another run .{what}: '):
        run(Scorer(), out, **change)
    assert len(os.listdir(tmp_path / 's.npz.shards')) == 3


def test_complete_file_is_kept(tmp_path):
    out = tmp_path / 's.npz'
    run(Scorer(), out)
    again = Scorer()
    assert run(again, out).rank.tolist() == expected()
    assert again.images == []
    other = dict(SCORER, fingerprint='model b')
    with pytest.raises(
        LaunchError,
        match=r's.npz" exists and holds scores of'
        ' another scorer.*--overwrite',
    ):
        run(Scorer(), out, who=other)
    assert load_scores(out).meta['scorer'] == SCORER
    run(Scorer(), out, who=other, overwrite=True)
    assert load_scores(out).meta['scorer'] == other


@pytest.mark.parametrize('overwrite', [True, False])
def test_files_of_the_user_are_never_overwritten(tmp_path, overwrite):
    out = tmp_path / 'thesis.npz'
    out.write_text('all my work')
    with pytest.raises(LaunchError, match='is not a score file'):
        run(Scorer(), out, overwrite=overwrite)
    assert out.read_text() == 'all my work'


def test_broken_images_rank_last_and_are_counted(tmp_path):
    scores = run(Scorer(broken=('2.jpg', '9.jpg')), tmp_path / 's.npz', 6)
    lost = [6, 7, 8, 27, 28, 29]
    assert scores.rank[lost].tolist() == [16] * 6
    assert np.isneginf(scores.score[lost]).all()
    assert scores.unreadable == 6
    fine = [i for i in range(30) if i not in lost]
    assert scores.rank[fine].tolist() == np.array(expected())[fine].tolist()


def test_a_last_shard_of_broken_images_only(tmp_path):
    scores = run(Scorer(broken=('9.jpg',)), tmp_path / 's.npz', 27)
    assert scores.rank[27:].tolist() == [16] * 3
    assert scores.unreadable == 3


def test_not_one_readable_image_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr('mmtpr.filtering.scoring._WRONG_PATH', 10)
    names = [f'{i}.jpg' for i in range(10)]
    with pytest.raises(ValueError, match=r'10 of 10 images cannot.*0.jpg'):
        run(Scorer(broken=names), tmp_path / 's.npz', 30)
    assert not (tmp_path / 's.npz').exists()
