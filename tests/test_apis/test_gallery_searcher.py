"""Search of a store by sentences, and by photos with sentences."""

import warnings

import pytest
import torch
from gallery_model import (
    write_composed_model,
    write_image,
    write_model,
    write_store,
)
from PIL import Image

from mmtpr.apis import (
    GallerySearcher,
    PersonRetrievalInferencer,
    load_retriever,
)
from mmtpr.apis.search_output import write_results
from mmtpr.gallery import FaissStore, ModelIdentity, WhereError

pytest.importorskip('faiss', reason='the extra [search] is not installed')
pytest.importorskip('pyarrow', reason='the extra [search] is not installed')

QUERIES = ['a man in a red top', 'a woman in blue trousers']
PHOTOS = [f'{n}.png' for n in range(9)]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Two models, images, and a store of each model."""
    folder = tmp_path_factory.mktemp('searcher')
    generator = torch.Generator().manual_seed(0)
    for name in PHOTOS:
        low = torch.randint(256, (8, 4, 3), generator=generator)
        path = folder / 'photos' / name
        path.parent.mkdir(exist_ok=True)
        pixels = low.to(torch.uint8).numpy()
        Image.fromarray(pixels).resize((32, 64)).save(path)
    return folder


@pytest.fixture(scope='module')
def searcher(place):
    model = write_model(place / 'text')
    write_store(place / 'text_store', place / 'photos', model)
    return GallerySearcher(load_retriever(*model), place / 'text_store')


@pytest.fixture(scope='module')
def composed(place):
    model = write_composed_model(place / 'composed')
    write_store(place / 'composed_store', place / 'photos', model)
    return GallerySearcher(load_retriever(*model), place / 'composed_store')


@pytest.fixture
def told(monkeypatch):
    lines = []
    for name in ('query_embedding', 'paraphrases', 'results'):
        monkeypatch.setattr(f'mmtpr.apis.{name}.warn', lines.append)
    return lines


def test_it_finds_what_the_inferencer_finds(place, searcher):
    inferencer = PersonRetrievalInferencer(
        str(place / 'text/config.py'),
        str(place / 'text/model.pth'),
        gallery=str(place / 'photos'),
        device='cpu',
    )
    found = searcher(QUERIES, k=4, certify=True)
    wanted = inferencer(QUERIES, num_results=4)['predictions']
    for one, other in zip(found, wanted, strict=True):
        assert one.query == other['query']
        assert one.paths == other['paths']
        assert one.scores == pytest.approx(other['scores'], abs=1e-6)
        assert (len(one), one.proven) == (4, 4)
    (alone,) = searcher(QUERIES[0], k=99)
    assert sorted(alone.ids) == PHOTOS
    row = alone.rows()[0]
    assert row['rank'] == 1
    assert row['id'] == alone.ids[0]
    # What an update needs to know is no column of the user.
    assert row['columns'] == dict(camera=PHOTOS.index(row['id']) % 3)


def test_a_filter(searcher):
    (found,) = searcher(QUERIES[0], where='camera == 1')
    assert sorted(found.ids) == PHOTOS[1::3]
    assert found.columns == dict(camera=[1, 1, 1])
    assert len(searcher(QUERIES[0], where='camera > 7')[0]) == 0


@pytest.mark.parametrize('name', ['text', 'composed'])
def test_exact_and_certified(searcher, composed, place, name):
    found = dict(text=searcher, composed=composed)[name]
    query = QUERIES[0]
    if name == 'composed':
        query = dict(img_path=str(place / 'photos/3.png'), caption=query)
    (whole,) = found(query, k=5, exact=True)
    (some,) = found(query, k=5, candidates=6, certify=True)
    assert some.proven is not None
    assert some.ids[: some.proven] == whole.ids[: some.proven]
    assert found.topk_tokens == (3 if name == 'composed' else 1)


def test_a_photo_with_a_sentence(composed, place):
    own = str(place / 'photos/3.png')
    query = dict(img_path=own, caption='now in a red top')
    (found,) = composed(query, k=9)
    assert found.reference == own
    inferencer = PersonRetrievalInferencer(
        str(place / 'composed/config.py'),
        str(place / 'composed/model.pth'),
        gallery=str(place / 'photos'),
        device='cpu',
    )
    (wanted,) = inferencer(query, num_results=9)['predictions']
    assert found.paths == wanted['paths']
    (without,) = composed(query, k=9, exclude_reference=True, certify=True)
    assert without.paths == [path for path in found.paths if path != own]
    assert without.proven == 8
    assert without.scores == pytest.approx(
        [
            score
            for path, score in zip(found.paths, found.scores, strict=True)
            if path != own
        ]
    )


def test_own_photo_under_other_names(composed, place, tmp_path):
    link = tmp_path / 'link.png'
    link.symlink_to(place / 'photos/3.png')
    query = dict(img_path=str(link), caption='now in a red top')
    (found,) = composed(query, k=2, exclude_reference=True)
    assert len(found) == 2
    assert '3.png' not in found.ids


def test_another_model_is_refused_with_both_named(searcher, composed, place):
    match = 'holds vectors of another model.*there.*here'
    with pytest.raises(ValueError, match=match) as caught:
        GallerySearcher(searcher.retriever, place / 'composed_store')
    for identity in (searcher.store.identity, composed.store.identity):
        assert identity.model in str(caught.value)
        assert identity.weights in str(caught.value)


def test_what_is_refused(searcher, composed, place):
    for match, query, options in (
        ('sentence with words', ' \n', {}),
        ('sentences alone', dict(img_path='a.jpg', caption='red'), {}),
        ('k must be at least 1', 'red', dict(k=0)),
        ('k must be a whole number', 'red', dict(k=1.5)),
        ('must be a positive', 'red', dict(paraphrases=['x'], **_weight(0))),
        ('candidates must be', 'red', dict(candidates=0)),
    ):
        with pytest.raises(ValueError, match=match):
            searcher(query, **options)
    for match, where in (
        ('There is no column "colour"; there are camera, file_', 'colour > 3'),
        ('has no meaning here', "__import__('os').system('true')"),
        ('expected a comparison', 'print(1)'),
        ('expected a comparison', 'camera'),
    ):
        with pytest.raises(WhereError, match=match):
            searcher('red', where=where)
    with pytest.raises(ValueError, match='a reference image with a sentence'):
        composed('red')
    with pytest.raises(FileNotFoundError, match=r'gone\.png'):
        composed(dict(img_path=str(place / 'gone.png'), caption='red'))
    broken = place / 'broken.jpg'
    broken.write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'broken\.jpg.*does not decode'):
        composed(dict(img_path=str(broken), caption='red'))
    with pytest.raises(FileNotFoundError, match='no gallery store'):
        GallerySearcher(searcher.retriever, place / 'none')
    with pytest.raises(ValueError, match='topk_tokens must be at least 1'):
        GallerySearcher(searcher.retriever, place / 'text_store', 0)


def _weight(value):
    return dict(paraphrase_weight=value)


def test_no_queries_and_an_empty_store(searcher, tmp_path):
    assert searcher([]) == []
    identity = searcher.store.identity
    FaissStore(tmp_path / 'store', identity, write=True).close()
    empty = GallerySearcher(searcher.retriever, tmp_path / 'store')
    (found,) = empty('a man')
    assert (found.ids, found.scores) == ([], [])


def test_a_sentence_of_10000_characters_is_cut_and_told(searcher, told):
    long = 'a man in a red top and blue trousers ' * 271
    assert len(long) > 10_000
    (found,) = searcher(long, k=9)
    (line,) = told
    assert '10,027 characters is too long for the text tower' in line
    assert len(line) < 250
    assert found.ids == searcher(long[:2000], k=9)[0].ids


def test_letters_that_the_vocabulary_lacks_are_told(searcher, told):
    searcher(['a man in a red top', '穿红色上衣的人', 'a café in Zürich'])
    (line,) = told
    assert 'no token for 7 letters of "穿红色上衣的人": 穿 红' in line


def test_a_store_of_other_vectors(searcher, tmp_path):
    """Whatever made the store, its identity decides."""
    identity = ModelIdentity('another', 'model', 'altogether')
    with FaissStore(tmp_path / 'store', identity, write=True) as store:
        store.add(['a'], torch.ones(1, 32))
    with pytest.raises(ValueError, match='"another" there'):
        GallerySearcher(searcher.retriever, tmp_path / 'store')


class TestParaphrases:
    SAID = ['a guy with a red shirt', 'someone in a red upper garment']

    def vectors(self, searcher, sentences):
        return searcher.embed(sentences)

    def test_their_mean_is_added(self, searcher):
        (found,) = searcher(
            QUERIES[0], k=9, paraphrases=self.SAID, paraphrase_weight=0.5
        )
        own, *said = self.vectors(searcher, [QUERIES[0], *self.SAID])
        query = own + 0.5 * (said[0] + said[1]) / 2
        query = query / query.norm()
        scores = searcher.store.fetch(found.ids)[:, 0] @ query
        assert found.scores == pytest.approx(scores.tolist(), abs=1e-6)
        (plain,) = searcher(QUERIES[0], k=9)
        assert plain.scores != found.scores

    def test_by_sentence_and_by_function(self, searcher, told):
        lists = {QUERIES[0]: self.SAID}
        found = searcher(QUERIES, paraphrases=lists)
        (line,) = told
        assert line.startswith('1 of 2 queries have no paraphrases, first')
        plain = searcher(QUERIES)
        assert found[1] == plain[1]
        assert found[0].scores != plain[0].scores
        made = searcher(QUERIES, paraphrases=lambda x: lists.get(x, []))
        assert made == found

    def test_of_a_photo(self, composed, place):
        photo = str(place / 'photos/3.png')
        query = dict(img_path=photo, caption='now in red')
        (found,) = composed(query, k=9, paraphrases=['in a red top now'])
        vectors = composed.embed(
            [query, dict(query, caption='in a red top now')]
        )
        mean = torch.nn.functional.normalize(vectors.sum(0), dim=0)
        tokens = composed.store.fetch(found.ids)
        scores = (tokens @ mean).topk(3, dim=1).values.mean(1)
        assert found.scores == pytest.approx(scores.tolist(), abs=1e-5)

    def test_in_the_inferencer(self, searcher, place):
        inferencer = PersonRetrievalInferencer(
            str(place / 'text/config.py'),
            str(place / 'text/model.pth'),
            gallery=str(place / 'photos'),
            device='cpu',
        )
        lists = {query: [f'{query} again', 'other'] for query in QUERIES}
        options = dict(paraphrases=lists, paraphrase_weight=2.0)
        found = inferencer(QUERIES, num_results=9, batch_size=1, **options)
        wanted = searcher(QUERIES, k=9, **options)
        for one, other in zip(found['predictions'], wanted, strict=True):
            assert one['paths'] == other.paths
            assert one['scores'] == pytest.approx(other.scores, abs=1e-6)

    @pytest.mark.parametrize(
        ('said', 'match'),
        [
            (['a', 'b'], 'is for one query, there are 2'),
            ({QUERIES[0]: 'a man'}, 'are a list of sentences'),
            (lambda _: [''], 'is a sentence with words'),
            (lambda _: [3], 'is a sentence with words'),
        ],
    )
    def test_what_is_refused(self, searcher, said, match):
        with pytest.raises(ValueError, match=match):
            searcher(QUERIES, paraphrases=said)


def test_a_photo_of_100_megapixels(composed, place, tmp_path):
    """As a query, and as an image of a gallery."""
    photos = tmp_path / 'photos'
    write_image(photos / 'small.png', 'green')
    large = photos / 'large.jpg'
    Image.new('RGB', (10_000, 10_000), (200, 30, 30)).save(large)
    model = (
        str(place / 'composed/config.py'),
        str(place / 'composed/model.pth'),
    )
    write_store(tmp_path / 'store', photos, model)
    searcher = GallerySearcher(composed.retriever, tmp_path / 'store')
    (found,) = searcher(dict(img_path=str(large), caption='now in blue'))
    assert sorted(found.ids) == ['large.jpg', 'small.png']
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        write_results([found], tmp_path / 'out.html')
        write_results([found], tmp_path / 'out.png')
    assert (tmp_path / 'out.html').read_text().count('<img ') == 3
    assert (tmp_path / 'out.html').stat().st_size < 1e5


def test_sentences_alone_of_a_composed_model(composed, place):
    """What the model itself predicts for the text of its queries."""
    both = GallerySearcher(
        composed.retriever, composed.store, sentences_alone=True
    )
    vectors = both.embed(QUERIES)
    loaded = composed.retriever
    photo = str(place / 'photos/3.png')
    packed = [
        loaded.pipeline(
            dict(role='query', pid=-1, image_id=-1, img_path=photo, caption=c)
        )
        for c in QUERIES
    ]
    with torch.no_grad():
        samples = loaded.model.test_step(loaded.collate(packed))
    wanted = torch.stack([sample.features_text for sample in samples])
    assert torch.allclose(vectors, wanted.cpu(), atol=1e-5)
    found = both(QUERIES, k=3)
    (first,) = both.store.search(vectors[0], 3, topk_tokens=both.topk_tokens)
    assert found[0].ids == first.ids
    pairs = [dict(img_path=photo, caption=text) for text in QUERIES]
    assert both(pairs, k=3) == composed(pairs, k=3)
    for searcher_, queries in (
        (composed, QUERIES),
        (both, [*QUERIES, *pairs]),
    ):
        with pytest.raises(ValueError, match='takes a reference image'):
            searcher_(queries)


def test_only_composed_models_take_photos(searcher):
    both = GallerySearcher(
        searcher.retriever, searcher.store, sentences_alone=True
    )
    assert both(QUERIES, k=2) == searcher(QUERIES, k=2)
    with pytest.raises(ValueError, match='takes sentences alone'):
        both(dict(img_path='a.png', caption='b'))
