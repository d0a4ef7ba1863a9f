"""Score files of one pretended dataset, for tests of their join."""

import numpy as np

from mmtpr.filtering import RelevanceScores


def scores_of(
    ranks, scores=None, fingerprint='a' * 32, name='Pairs', bank=1000
):
    """Scores with the description that a score file has."""
    ranks = np.asarray(ranks)
    if scores is None:
        scores = 1 / ranks
    meta = dict(
        version=1,
        data=dict(fingerprint=fingerprint, name=name, length=len(ranks)),
        scorer=dict(fingerprint='s', precision='float32'),
        bank=dict(size=bank, fingerprint='b'),
    )
    return RelevanceScores(ranks, scores, meta)


def two_views(seed=0, pairs=400):
    """Scores of two scorers whose errors differ, and which pairs are wrong."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(pairs) < 0.3
    files = {}
    for name, noise in (('one.npz', 1.5), ('two.npz', 1.0)):
        score = np.where(wrong, -1, 1) + noise * rng.normal(size=pairs)
        rank = 1 + np.argsort(np.argsort(-score)) // 3
        files[name] = scores_of(rank, score)
    return files, wrong
