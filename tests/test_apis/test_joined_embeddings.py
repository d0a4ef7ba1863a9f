"""Several embeddings of a retriever, for all that rank by one vector."""

import pytest
import torch
import torch.nn.functional as F
from gallery_model import write_model, write_store
from PIL import Image

from mmtpr.apis import (
    GallerySearcher,
    PersonRetrievalInferencer,
    load_retriever,
)
from mmtpr.filtering.scorer import RetrieverScorer

QUERIES = ['a man in a red top', 'a woman in blue trousers']
NECK = dict(
    type='mmtpr.TokenSelection', embed_dim=24, hidden_dim=12, weight=0.5
)
TAL = dict(type='mmtpr.TALLoss')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('joined')
    generator = torch.Generator().manual_seed(0)
    (folder / 'photos').mkdir()
    for name in range(9):
        low = torch.randint(256, (8, 4, 3), generator=generator)
        image = Image.fromarray(low.to(torch.uint8).numpy())
        image.resize((32, 64)).save(folder / f'photos/{name}.png')
    losses = dict(bge=TAL, tse=dict(TAL, embedding='tse'))
    written = write_model(
        folder / 'model', necks=dict(tse=NECK), losses=losses
    )
    return folder, written


@pytest.fixture(scope='module')
def retriever(place):
    return load_retriever(*place[1])


@pytest.fixture(scope='module')
def wanted(place, retriever):
    """Mean of both cosines by their weights, (queries, images by name)."""
    folder, _ = place
    model = retriever.model
    names = sorted(p.name for p in (folder / 'photos').iterdir())
    entries = [dict(img_path=str(folder / 'photos' / n)) for n in names]
    captions = [dict(caption=q, role='query') for q in QUERIES]
    with torch.no_grad():
        packed = retriever.collate([retriever.pipeline(e) for e in entries])
        images = model.data_preprocessor(packed)['inputs']['image']
        packed = retriever.collate([retriever.pipeline(c) for c in captions])
        tokens = model.data_preprocessor(packed)['inputs']['tokens']
        image = model.encoder.attend_image(images)
        text = model.encoder.attend_text(tokens)
        neck = model.necks['tse']
        ways = (
            (text.features, image.features, 1.0),
            (neck.embed_text(text), neck.embed_image(image), 0.5),
        )
    total = sum(
        weight * F.normalize(t, dim=1) @ F.normalize(i, dim=1).t()
        for t, i, weight in ways
    )
    rows = (total / 1.5).tolist()
    return [dict(zip(names, row, strict=True)) for row in rows]


def check(found, wanted):
    """Paths and scores of one query, the best first."""
    paths, scores = found
    order = sorted(wanted, key=wanted.get, reverse=True)
    assert [path.rpartition('/')[2] for path in paths] == order
    assert scores == pytest.approx([wanted[n] for n in order], abs=1e-5)


def test_the_inferencer(place, wanted):
    folder, written = place
    photos = str(folder / 'photos')
    inferencer = PersonRetrievalInferencer(
        *written, gallery=photos, device='cpu'
    )
    assert inferencer.index.features.shape == (9, 1, 32 + 24)
    found = inferencer(QUERIES, num_results=9)['predictions']
    for one, other in zip(found, wanted, strict=True):
        check((one['paths'], one['scores']), other)


def test_a_store_and_its_search(place, retriever, wanted):
    pytest.importorskip('faiss', reason='the extra [search] is not installed')
    pytest.importorskip('pyarrow', reason='the extra [search] is missing')
    folder, written = place
    write_store(folder / 'store', folder / 'photos', written)
    searcher = GallerySearcher(retriever, folder / 'store')
    for one, other in zip(
        searcher(QUERIES, k=9, certify=True), wanted, strict=True
    ):
        check((one.paths, one.scores), other)
        assert one.proven == 9


def test_another_weight_is_another_model(place, retriever, tmp_path):
    """A store of one is not searched with the other."""
    _, (config, checkpoint) = place
    changed = tmp_path / 'config.py'
    with open(config) as file:
        changed.write_text(file.read().replace('weight=0.5', 'weight=0.6'))
    other = load_retriever(str(changed), checkpoint)
    assert other.identity != retriever.identity
    assert other.identity.weights == retriever.identity.weights


def test_the_scorer_of_the_filter(place, retriever, wanted):
    folder, _ = place
    scorer = RetrieverScorer(retriever.model, retriever.pipeline)
    entries = [
        dict(img_path=str(folder / 'photos' / name)) for name in wanted[0]
    ]
    images, broken = scorer.embed_images(entries)
    captions = scorer.embed_captions(QUERIES)
    assert not broken
    scores = torch.einsum('kd,mtd->kmt', captions, images).amax(2)
    for row, other in zip(scores.tolist(), wanted, strict=True):
        assert row == pytest.approx([*other.values()], abs=1e-5)


def test_mixed_precision_ranks_by_nearly_the_same(place, retriever, wanted):
    folder, _ = place
    scorer = RetrieverScorer(retriever.model, retriever.pipeline, amp=True)
    entries = [
        dict(img_path=str(folder / 'photos' / name)) for name in wanted[0]
    ]
    images, _ = scorer.embed_images(entries)
    captions = scorer.embed_captions(QUERIES)
    assert images.dtype == captions.dtype == torch.float32
    norms = images.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    scores = torch.einsum('kd,mtd->kmt', captions, images).amax(2)
    for row, other in zip(scores.tolist(), wanted, strict=True):
        assert row == pytest.approx([*other.values()], abs=5e-2)
