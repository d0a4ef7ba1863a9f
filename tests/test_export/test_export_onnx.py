"""Export of towers by the tool, and the use of what it wrote."""

import json
import shutil

import pytest
import torch
from export_cases import BY_CAPTION, MODELS_BY_NAME, write_case

from mmtpr.apis import PersonRetrievalInferencer, load_embedder, update_gallery
from mmtpr.export import is_onnx_folder, load_onnx, read_onnx_folder

for name in ('onnx', 'onnxscript', 'onnxruntime', 'tokenizers'):
    pytest.importorskip(name, reason='the extra [onnx] is not installed')

pytestmark = pytest.mark.timeout(600)
TOOL = 'tools/model_converters/export_onnx.py'


@pytest.fixture(scope='module', params=sorted(MODELS_BY_NAME))
def case(request, tmp_path_factory, run_tool):
    """A model, and its export by the tool with the data of its config."""
    folder = write_case(tmp_path_factory.mktemp('export'), request.param)
    run_tool(TOOL, folder / 'config.py', folder / 'model.pth', folder / 'onnx')
    return request.param, folder


def queries(name, folder):
    sentences = ['A man in a red shirt.', 'a woman with a blue bag ' * 9]
    without = dict(negative_text='with a white hat', negative_weight=0.7)
    if name in BY_CAPTION:
        return [*sentences, dict(caption=sentences[0], **without)]
    image = str(folder / 'data/imgs/test/0008_0.png')
    other = str(folder / 'data/imgs/test/0009_0.png')
    found = [dict(img_path=image, caption=text) for text in sentences]
    several = dict(found[0], img_path=[image, other])
    return [*found, several, dict(several, **without)]


def test_rankings_are_those_of_the_torch_model(case, tmp_path):
    name, folder = case
    images = str(folder / 'data/imgs')
    plain = PersonRetrievalInferencer(
        str(folder / 'config.py'), str(folder / 'model.pth'), images
    )
    moved = shutil.copytree(folder / 'onnx', tmp_path / 'elsewhere ü')
    found = PersonRetrievalInferencer(str(moved), gallery=images)
    assert found.topk_tokens == plain.topk_tokens
    assert found.index.features.shape == plain.index.features.shape
    assert torch.allclose(
        found.index.features, plain.index.features, atol=1e-4
    )
    asked = queries(name, folder)
    # In one batch, of which some have several images or a negative.
    both = [x(asked, num_results=30)['predictions'] for x in (found, plain)]
    for one, other in zip(*both, strict=True):
        scores = dict(zip(other['paths'], other['scores'], strict=True))
        assert set(one['paths']) == set(scores)
        assert len(scores) > 15
        for path, score in zip(one['paths'], one['scores'], strict=True):
            assert abs(score - scores[path]) < 1e-4


def test_the_card_tells_what_was_compared(case):
    name, folder = case
    card = json.loads((folder / 'onnx/model.json').read_text())
    second = 'text' if name in BY_CAPTION else 'query'
    assert set(card['towers']) == {'image', second}
    for tower in card['towers'].values():
        assert tower['compared']['random'] == 4
        assert tower['compared']['real'] >= 3
        assert min(tower['least_cosine'].values()) >= 0.9999
    assert set(card['files']) == {
        'image.onnx',
        f'{second}.onnx',
        'tokenizer.json',
    }
    assert card['versions']['opset'] == 18
    assert len(card['image']['mean']) == 3
    assert str(folder) not in json.dumps(card['config'])


def test_batches_may_have_any_size(case):
    _, folder = case
    model = load_onnx(folder / 'onnx')
    images = torch.randn(5, 3, *model._size)
    whole = model.extract_image_feat(images)
    for size in (1, 2, 5):
        part = model.extract_image_feat(images[:size])
        assert torch.allclose(part, whole[:size], atol=1e-5)
    with pytest.raises(ValueError, match=r'takes images of \d+x\d+'):
        model.extract_image_feat(images[..., :-1])


def test_galleries_are_of_either(case, tmp_path):
    """A store of the torch model goes on with its export."""
    pytest.importorskip('faiss', reason='the extra [search] is not installed')
    from mmtpr.gallery import FaissStore

    _, folder = case
    embedder, identity = load_embedder(
        str(folder / 'config.py'), str(folder / 'model.pth')
    )
    again, same = load_embedder(str(folder / 'onnx'))
    assert same == identity
    images = folder / 'data/imgs/test'
    with FaissStore(tmp_path / 'store', identity, write=True) as store:
        assert update_gallery(store, images, embedder).new == 6
    with FaissStore(tmp_path / 'store', same, write=True) as store:
        assert update_gallery(store, images, again).same == 6


def test_a_changed_file_is_refused(case, tmp_path):
    _, folder = case
    place = shutil.copytree(folder / 'onnx', tmp_path / 'copy')
    assert is_onnx_folder(place)
    file = place / 'image.onnx'
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r'image.onnx" is not the one'):
        read_onnx_folder(place)
    file.unlink()
    with pytest.raises(ValueError, match=r'has no file "image.onnx"'):
        read_onnx_folder(place)
    card = json.loads((place / 'model.json').read_text())
    (place / 'model.json').write_text(json.dumps(card | dict(version=99)))
    with pytest.raises(ValueError, match='has layout 99'):
        read_onnx_folder(place)
    for files in ({}, {**card['files'], '../model.pth': {}}):
        (place / 'model.json').write_text(json.dumps(card | dict(files=files)))
        with pytest.raises(ValueError, match='does not list its own files'):
            read_onnx_folder(place)
    lost = dict(card, towers=[], image=None)
    (place / 'model.json').write_text(json.dumps(lost))
    with pytest.raises(ValueError, match='has no towers and no image as'):
        read_onnx_folder(place)
