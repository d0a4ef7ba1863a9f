"""PersonRetrievalInferencer with a tiny real retriever."""

import copy
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image

from mmtpr.apis import PersonRetrievalInferencer, list_images
from mmtpr.registry import INFERENCERS, MODELS
from mmtpr.testing import tiny_retriever_cfg, write_tiny_cuhk

QUERIES = ['a man in a red top', 'a woman in blue trousers']


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Images, a config and a checkpoint in one folder."""
    folder = tmp_path_factory.mktemp('inferencer')
    write_tiny_cuhk(folder / 'data')
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(32, 64), keep_ratio=False),
    ]
    pipeline = [
        dict(type='mmtpr.ImageTransforms', transforms=load),
        dict(type='mmtpr.TokenizeCaption', context_length=32),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    cfg = Config(
        dict(
            model=tiny_retriever_cfg(),
            test_dataloader=dict(
                dataset=dict(type='mmtpr.CUHKPEDES', pipeline=pipeline)
            ),
            test_evaluator=dict(type='mmtpr.PersonRetrievalMetric'),
        )
    )
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    state = dict(
        state_dict=model.state_dict(),
        message_hub=dict(runtime_info=dict(cfg=cfg.pretty_text)),
    )
    torch.save(state, folder / 'model.pth')
    return folder


@pytest.fixture(scope='module')
def inferencer(place):
    return build(place)


@pytest.fixture
def log(tmp_path):
    file = tmp_path / 'log.txt'
    MMLogger.get_instance(f'inferencer {tmp_path}', log_file=str(file))
    return file


def build(place, gallery=None, **kwargs):
    return PersonRetrievalInferencer(
        str(place / 'config.py'),
        str(place / 'model.pth'),
        gallery=gallery or str(place / 'data/imgs'),
        device='cpu',
        **kwargs,
    )


def features_of(inferencer, caption):
    sample = inferencer.collate_fn([inferencer.pipeline(caption)])
    (sample,) = inferencer.model.test_step(sample)
    return sample.features


def test_ranking(place, inferencer):
    result = inferencer(QUERIES, num_results=5)
    images = list_images(place / 'data/imgs')
    assert len(images) == 22
    assert result['visualization'] is None
    assert [p['query'] for p in result['predictions']] == QUERIES
    for query, found in zip(QUERIES, result['predictions'], strict=True):
        gallery = inferencer.index.features[:, 0]
        scores = gallery @ features_of(inferencer, query)
        best = scores.topk(5)
        assert found['paths'] == [images[i] for i in best.indices]
        assert found['scores'] == pytest.approx(best.values.tolist())


def test_one_sentence_and_all_images(inferencer, monkeypatch, tmp_path):
    """A folder with the name of the sentence does not matter."""
    monkeypatch.chdir(tmp_path)
    os.mkdir(QUERIES[0])
    one = inferencer(QUERIES[0], num_results=99)['predictions']
    assert len(one) == 1
    assert len(one[0]['paths']) == 22
    both = inferencer(QUERIES, num_results=99, batch_size=1)['predictions']
    assert both[0]['paths'] == one[0]['paths']


def test_images_of_the_results(inferencer, tmp_path):
    result = inferencer(QUERIES, num_results=3, out_dir=tmp_path / 'out')
    names = sorted(os.listdir(tmp_path / 'out'))
    assert names == [
        '000_a_man_in_a_red_top.png',
        '001_a_woman_in_blue_trousers.png',
    ]
    for name, drawn in zip(names, result['visualization'], strict=True):
        with Image.open(tmp_path / 'out' / name) as saved:
            assert saved.size == drawn.shape[1::-1]
        # Nothing is known of right and wrong: grey frames.
        layout = inferencer.visualizer.layout
        colours = set(map(tuple, drawn.reshape(-1, 3).tolist()))
        assert layout.unknown in colours
        assert not {layout.right, layout.wrong} & colours


def test_built_from_the_registry_and_the_checkpoint_alone(place, inferencer):
    other = INFERENCERS.build(
        dict(
            type='mmtpr.PersonRetrievalInferencer',
            weights=str(place / 'model.pth'),
            gallery=str(place / 'data/imgs'),
            device='cpu',
            num_workers=1,
            batch_size=5,
        )
    )
    torch.testing.assert_close(other.index.features, inferencer.index.features)
    assert (
        other(QUERIES)['predictions'][0]['paths']
        == (inferencer(QUERIES)['predictions'][0]['paths'])
    )


def test_broken_images_are_left_out(place, tmp_path, log):
    good = list_images(place / 'data/imgs')[:3]
    bad = tmp_path / 'bad.png'
    bad.write_bytes(b'no image')
    gallery = [good[0], str(bad), good[1], 'absent.jpg', good[2]]
    found = build(place, gallery, batch_size=2)
    assert found.index.paths == good
    assert list(found.index.broken) == [str(bad), 'absent.jpg']
    assert len(found(QUERIES[0])['predictions'][0]['paths']) == 3
    text = log.read_text()
    assert f'The image "{bad}" is left out: does not decode.' in text
    assert '2 of 5 images are left out' in text
    with pytest.raises(ValueError, match='None of the 1 images'):
        build(place, [str(bad)])


def test_links_to_nothing_in_a_folder_are_named(place, tmp_path):
    good = Path(list_images(place / 'data/imgs')[0])
    (tmp_path / 'a.png').symlink_to('gone.png')
    (tmp_path / 'b.png').write_bytes(good.read_bytes())
    (tmp_path / 'c.png').symlink_to('c.png')
    (tmp_path / 'd.png').mkdir()
    index = build(place, tmp_path).index
    assert index.paths == [str(tmp_path / 'b.png')]
    names = {Path(path).name: why for path, why in index.broken.items()}
    assert names == {'a.png': 'missing', 'c.png': 'a loop of links'}


def test_cache(place, tmp_path, log, monkeypatch):
    images = list_images(place / 'data/imgs')[:4]
    cache = tmp_path / 'deep' / 'index.pt'
    first = build(place, images, cache=cache)
    assert torch.load(cache, weights_only=True)['paths'] == images

    class Untouched(Exception):
        pass

    def never(*_):
        raise Untouched

    with monkeypatch.context() as patch:
        patch.setattr('mmtpr.apis.embedding.Embedder.__call__', never)
        again = build(place, images, cache=cache)
        assert torch.equal(again.index.features, first.index.features)
        with pytest.raises(Untouched):
            build(place, images[:2], cache=cache)
    maps = Path('/proc/self/maps')  # of Linux
    if maps.exists():
        # The embeddings lie in the file, and were not copied from it.
        assert os.path.realpath(cache) in maps.read_text()
    assert 'of another gallery; it is made anew' in log.read_text()
    smaller = build(place, images[:2], cache=cache)
    torch.testing.assert_close(
        smaller.index.features, first.index.features[:2]
    )


def test_cache_of_another_model(place, tmp_path, log):
    images = list_images(place / 'data/imgs')[:2]
    cache = tmp_path / 'index.pt'
    build(place, images, cache=cache)
    state = torch.load(place / 'model.pth', weights_only=True)
    other = copy.deepcopy(state)
    key = next(k for k in other['state_dict'] if k.endswith('visual.proj'))
    other['state_dict'][key] *= -1
    torch.save(other, tmp_path / 'other.pth')
    found = PersonRetrievalInferencer(
        str(place / 'config.py'),
        str(tmp_path / 'other.pth'),
        images,
        cache=cache,
        device='cpu',
    )
    assert 'of another model; it is made anew' in log.read_text()
    fresh = build(place, images)
    torch.testing.assert_close(
        found.index.features, -fresh.index.features, atol=1e-5, rtol=0
    )


def test_a_foreign_file_is_not_overwritten(place, tmp_path):
    images = list_images(place / 'data/imgs')[:2]
    precious = tmp_path / 'thesis.txt'
    precious.write_text('chapter one')
    with pytest.raises(ValueError, match='is not a gallery index'):
        build(place, images, cache=precious)
    assert precious.read_text() == 'chapter one'


def test_messages(place, inferencer, tmp_path):
    for query in ('', '  ', 3):
        with pytest.raises(ValueError, match='A query is a sentence'):
            inferencer([QUERIES[0], query])
    with pytest.raises(ValueError, match='num_results must be at least 1'):
        inferencer(QUERIES, num_results=0)
    with pytest.raises(ValueError, match=r'unknown argument.*colour'):
        inferencer(QUERIES, colour='red')
    with pytest.raises(ValueError, match='return_datasamples'):
        inferencer(QUERIES, return_datasamples=True)
    with pytest.raises(FileNotFoundError, match='is not a folder'):
        build(place, 'nowhere')
    with pytest.raises(ValueError, match='holds no images'):
        build(place, str(tmp_path))
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match='holds no config'):
        PersonRetrievalInferencer(
            weights=str(tmp_path / 'bare.pth'),
            gallery=str(place / 'data/imgs'),
        )


class TestOddInputs:
    @pytest.mark.parametrize(
        ('call', 'match'),
        [
            (dict(inputs=None), 'Queries are a sentence, .* got None'),
            (dict(inputs=5), 'got 5'),
            (dict(inputs=b'a man'), "got b'a man'"),
            (dict(inputs='a man', num_results='5'), "whole number, got '5'"),
            (dict(inputs='a man', num_results=2.5), 'whole number, got 2.5'),
            (dict(inputs='a man', num_results=True), 'whole number, got True'),
            (dict(inputs='a man \ud83d'), 'lone surrogate'),
        ],
    )
    def test_of_a_call(self, inferencer, call, match):
        with pytest.raises(ValueError, match=match):
            inferencer(**call)

    def test_a_file_as_folder_of_the_drawings(self, inferencer, tmp_path):
        (tmp_path / 'found').write_text('mine')
        with pytest.raises(ValueError, match='is a file, not a folder'):
            inferencer('a man', out_dir=tmp_path / 'found')

    @pytest.mark.parametrize('gallery', [5, 2.5, b'folder'])
    def test_of_a_gallery(self, gallery):
        with pytest.raises(ValueError, match='The gallery is a folder or'):
            list_images(gallery)

    @pytest.mark.parametrize('name', ['queries.txt', 'her.JPG', 'a b.json'])
    def test_sentences_that_are_paths(self, inferencer, monkeypatch, name):
        told = []
        monkeypatch.setattr(
            'mmtpr.apis.queries.print_log', lambda x, **_: told.append(x)
        )
        inferencer(['a man in red.', name])
        (line,) = told
        assert line.startswith('1 of 2 sentences look like names of files, ')
        assert f'"{name}"' in line

    def test_weights_that_are_not_finite(self, inferencer, monkeypatch):
        monkeypatch.setattr(
            inferencer.model, 'encode_text', lambda *_: None, raising=False
        )
        parameter = next(inferencer.model.encoder.clip.ln_final.parameters())
        before = parameter.data.clone()
        parameter.data.fill_(float('nan'))
        try:
            with pytest.raises(ValueError, match='query is not finite'):
                inferencer('a man in red')
        finally:
            parameter.data.copy_(before)

    def test_a_cache_that_does_not_hold_together(self, place, tmp_path):
        file = tmp_path / 'index.pt'
        build(place, cache=file)
        whole = torch.load(file, weights_only=True)
        short = dict(whole, features=whole['features'][:-1])
        nan = dict(whole, features=whole['features'] * float('nan'))
        lacking = {k: v for k, v in whole.items() if k != 'owner'}
        other = dict(whole, broken=[])
        flat = dict(whole, features=whole['features'][:, 0])
        for content in (short, nan, lacking, other, flat):
            torch.save(content, file)
            with pytest.raises(ValueError, match=r'index.pt" is damaged'):
                build(place, cache=file)

    def test_a_cache_that_cannot_be_written(
        self, place, tmp_path, monkeypatch
    ):
        (tmp_path / 'file').write_text('mine')
        monkeypatch.setattr(
            'mmtpr.apis.person_retrieval_inferencer.embed_gallery',
            lambda *_: pytest.fail('the gallery was embedded first'),
        )
        match = r'cache cannot be written to ".*file/deep"'
        with pytest.raises(ValueError, match=match):
            build(place, cache=tmp_path / 'file/deep/index.pt')

    def test_showing_without_display(self, inferencer, tmp_path, monkeypatch):
        for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr('sys.platform', 'linux')
        monkeypatch.chdir(tmp_path)
        inferencer('a man in red', show=True)
        (file,) = tmp_path.glob('000_*.png')
        assert file.read_bytes().startswith(b'\x89PNG')

    def test_own_images_are_found_once(self, inferencer, monkeypatch):
        inferencer.index.__dict__.pop('places', None)
        first = inferencer.index.places
        monkeypatch.setattr('os.path.realpath', lambda _: pytest.fail('again'))
        assert inferencer.index.places is first


def test_options_without_effect(place, inferencer, log):
    with pytest.raises(ValueError, match='topk_tokens must be at least 1'):
        build(place, topk_tokens=0)
    with pytest.raises(ValueError, match='give num_results alone'):
        inferencer(QUERIES, num_results=3, topk=2)
    inferencer(QUERIES, num_results=3, exclude_reference=True)
    told = log.read_text()
    assert 'exclude_reference changes nothing for 2 of 2 queries' in told


@pytest.mark.parametrize('query', ['\u200b', '\u3164 \u2800', '\ufe0f'])
def test_a_query_that_nobody_sees(inferencer, query):
    with pytest.raises(ValueError, match='A query is a sentence with words'):
        inferencer(query)
