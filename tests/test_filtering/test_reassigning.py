"""Captions given to the images they fit best."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtpr.filtering.reassigning import (
    REASSIGNMENT_VERSION,
    Reassignment,
    load_reassignment,
    mutual_best,
    nearest_images,
    reassign,
    save_reassignment,
)
from mmtpr.filtering.result_files import write_arrays
from mmtpr.structures.pairs import Pairs


class Vectors:
    """A scorer whose embeddings are given by path and by caption."""

    def __init__(self, images, texts, broken=()):
        self.images, self.texts, self.broken = images, texts, broken
        self.most = 0

    def embed_images(self, samples, on_batch=None):
        self.most = max(self.most, len(samples))
        paths = [sample['img_path'] for sample in samples]
        broken = {i: 'x' for i, p in enumerate(paths) if p in self.broken}
        return torch.stack([self.images[p] for p in paths]), broken

    def embed_captions(self, captions):
        return torch.stack([self.texts[c] for c in captions])


class Entries:
    def __init__(self, paths):
        self.paths = paths

    def get_data_info(self, index):
        return dict(img_path=self.paths[index], caption='gone')


@pytest.fixture
def many():
    """30 images of 2 tokens, two captions each, whose owners are shuffled."""
    generator = torch.Generator().manual_seed(0)
    tokens = F.normalize(torch.randn(30, 2, 16, generator=generator), dim=-1)
    images = {f'{i}.jpg': tokens[i] for i in range(30)}
    paths = [f'{i // 2}.jpg' for i in range(60)]
    texts = {f'c{i}': tokens[i // 2, i % 2] for i in range(60)}
    order = torch.randperm(60, generator=generator).tolist()
    captions = [f'c{i}' for i in order]
    pairs = Pairs(Entries(paths), paths, captions)
    return Vectors(images, texts), pairs, order


def test_nearest_images_in_blocks_are_those_of_one(many):
    scorer, pairs, order = many
    suspects = list(range(0, 60, 3))
    score, image, unreadable = nearest_images(scorer, pairs, suspects, 5)
    assert image.shape == score.shape == (20, 5)
    assert unreadable == 0
    # Pairs 2i and 2i + 1 share an image, named by the first of them.
    wanted = [order[i] // 2 * 2 for i in suspects]
    assert image[:, 0].tolist() == wanted
    np.testing.assert_allclose(score[:, 0], 1, rtol=1e-5)
    assert (np.diff(score, axis=1) <= 0).all()
    scorer.most = 0
    parts = nearest_images(scorer, pairs, suspects, 5, block_size=4)
    assert scorer.most == 4
    assert (parts[1] == image).all()
    np.testing.assert_allclose(parts[0], score, rtol=1e-5)


def test_an_unreadable_image_gets_no_caption(many):
    scorer, pairs, order = many
    lost = order[0] // 2
    scorer.broken = (f'{lost}.jpg',)
    _, image, unreadable = nearest_images(scorer, pairs, [0], 29)
    assert unreadable == 1
    assert 2 * lost not in image


def test_a_block_without_any_readable_image(many, monkeypatch):
    scorer, pairs, _ = many
    whole = nearest_images(scorer, pairs, [0], 29, block_size=29)
    scorer.broken = ('29.jpg',)  # alone in its block
    embed = scorer.embed_images

    def narrow(samples, on_batch=None):
        tokens, broken = embed(samples)
        lost = len(broken) == len(samples)
        return (torch.zeros(len(samples), 1, 1) if lost else tokens), broken

    monkeypatch.setattr(scorer, 'embed_images', narrow)
    _, image, unreadable = nearest_images(scorer, pairs, [0], 29, 29)
    assert unreadable == 1
    kept = [i for i in whole[1][0].tolist() if i != 58]
    assert image[0].tolist()[: len(kept)] == kept


def test_mutual_best_gives_an_image_one_caption():
    scores = np.array([[0.9, 0.5], [0.95, 0.1], [0.9, 0.2], [0.3, 0.2]])
    images = np.array([[4, 7], [4, 2], [8, 4], [7, 4]])
    # 7 is nearest to caption 3, but fits caption 0 better.
    assert mutual_best(scores, images).tolist() == [-1, 4, 8, -1]


def test_of_equal_captions_the_first_has_the_image():
    same = np.array([[0.5], [0.5]])
    assert mutual_best(same, np.array([[3], [3]])).tolist() == [3, -1]
    assert mutual_best(np.zeros((0, 2)), np.zeros((0, 2), int)).tolist() == []


def test_all_captions_find_their_images(many):
    scorer, pairs, order = many
    keep = np.zeros(60, dtype=bool)
    suspects = np.arange(60)
    score, image, _ = nearest_images(scorer, pairs, suspects.tolist(), 3)
    out = reassign(keep, suspects, score, image, pairs.paths)
    moved = out >= 0
    # Of the two captions of an image one is the best for it.
    assert 15 <= moved.sum() <= 30
    assert all(out[i] // 2 == order[i] // 2 for i in np.flatnonzero(moved))


def test_kept_pairs_stay_and_own_images_are_no_move():
    keep = np.array([True, False, False, False])
    scores = np.array([[0.9], [0.8], [0.2]])
    images = np.array([[1], [0], [3]])
    out = reassign(keep, np.array([1, 2, 3]), scores, images, list('abcd'))
    assert out.tolist() == [0, -1, 0, -1]
    out = reassign(
        keep, np.array([1, 2, 3]), scores, images, list('abcd'), 0.9
    )
    assert out.tolist() == [0, -1, -1, -1]


def test_a_lead_over_the_second_image():
    keep, suspects = np.zeros(4, dtype=bool), np.array([0, 1])
    scores = np.array([[0.9, 0.5], [0.8, 0.7]])
    images = np.array([[2, 3], [3, 2]])
    given = keep, suspects, scores, images, list('abcd')
    assert reassign(*given).tolist() == [2, 3, -1, -1]
    assert reassign(*given, min_lead=0.2).tolist() == [2, -1, -1, -1]
    # Of one image alone there is no second.
    given = keep, suspects, scores[:, :1], images[:, :1], list('abcd')
    assert reassign(*given, min_lead=0.2).tolist() == [2, 3, -1, -1]


def made(image=(0, 0, -1), version=REASSIGNMENT_VERSION):
    data = dict(fingerprint='f', name='X', length=3)
    return Reassignment(np.array(image), dict(version=version, data=data))


def test_the_file_there_and_back(tmp_path):
    save_reassignment(tmp_path / 'a.npz', made())
    found = load_reassignment(tmp_path / 'a.npz')
    assert found.image.tolist() == [0, 0, -1]
    assert found.meta == made().meta
    assert found.counts == dict(kept=1, moved=1, dropped=1)


def test_files_that_are_no_reassignment(tmp_path):
    path = tmp_path / 'a.npz'
    with pytest.raises(FileNotFoundError, match=r'does not exist\. Write the'):
        load_reassignment(path)
    path.write_text('no')
    with pytest.raises(ValueError, match='is not a file of places of'):
        load_reassignment(path)
    write_arrays(path, image=np.zeros(3, int), meta=np.array('{}'))
    with pytest.raises(ValueError, match='is not a file of places of'):
        load_reassignment(path)
    save_reassignment(path, made(version=99))
    with pytest.raises(
        ValueError, match='version 99; this mmtpr reads places'
    ):
        load_reassignment(path)
    for image in ((0, 3, 0), (0, -2, 0), (0, 1)):
        save_reassignment(path, made(image))
        with pytest.raises(ValueError, match='has not an index for each of 3'):
            load_reassignment(path)
