"""An export at run time: no open_clip, no mmpretrain, no weights of torch."""

import json
import shutil

import pytest
import torch
from export_cases import write_case

from mmtpr.apis import PersonRetrievalInferencer
from mmtpr.apis.model_source import read_source
from mmtpr.export import export_onnx, onnx_session
from mmtpr.utils.errors import LaunchError

for name in ('onnx', 'onnxscript', 'onnxruntime', 'tokenizers'):
    pytest.importorskip(name, reason='the extra [onnx] is not installed')

pytestmark = pytest.mark.timeout(600)
TOOL = 'tools/model_converters/export_onnx.py'
# Ranks in a process in which the libraries of the model do not exist.
ALONE = """
import json, sys
for name in ('open_clip', 'mmpretrain', 'transformers', 'timm', 'onnx',
             'onnxscript'):
    sys.modules[name] = None
from mmtpr.apis import PersonRetrievalInferencer
found = PersonRetrievalInferencer(sys.argv[1], gallery=sys.argv[2])
print(json.dumps(found(sys.argv[3])['predictions'][0]))
assert 'mmtpr.models.encoders' not in sys.modules
"""


@pytest.fixture(scope='module')
def place(tmp_path_factory, run_tool):
    folder = write_case(tmp_path_factory.mktemp('alone'), 'text')
    (folder / 'said.txt').write_text('a man in red\n\nKörper im Mantel\n')
    run_tool(
        *(TOOL, folder / 'config.py', folder / 'model.pth', folder / 'onnx'),
        *('--images', folder / 'data/imgs', '--number', 5),
        *('--sentences', folder / 'said.txt', '--opset', 20),
    )
    return folder


def test_the_libraries_of_the_model_are_not_needed(place, tmp_path, run_code):
    images, query = place / 'data/imgs', 'A person in a red top.'
    moved = shutil.copytree(place / 'onnx', tmp_path / 'onnx')
    found = json.loads(
        run_code(ALONE, moved, images, query).strip().splitlines()[-1]
    )
    plain = PersonRetrievalInferencer(
        *(str(place / 'config.py'), str(place / 'model.pth'), str(images))
    )
    wanted = plain(query)['predictions'][0]
    scores = dict(zip(wanted['paths'], wanted['scores'], strict=True))
    for path, score in zip(found['paths'], found['scores'], strict=True):
        assert abs(scores.get(path, wanted['scores'][-1]) - score) < 1e-4


def test_what_was_named_was_compared(place):
    card = json.loads((place / 'onnx/model.json').read_text())
    assert card['towers']['image']['compared'] == dict(random=4, real=5)
    assert card['towers']['text']['compared'] == dict(random=4, real=2)
    assert card['versions']['opset'] == 20


def test_nothing_is_written_where_vectors_differ(
    place, tmp_path, run_tool, fails, monkeypatch
):
    run = onnx_session.OnnxSession.run

    def turned(self, inputs):
        feats, *rest = run(self, inputs)
        return [feats + 0.02 * torch.randn_like(feats), *rest]

    monkeypatch.setattr(onnx_session.OnnxSession, 'run', turned)
    told = fails(
        *(TOOL, place / 'config.py', place / 'model.pth', tmp_path / 'out'),
    )
    assert 'image tower gives other vectors' in told
    assert 'Nothing was written' in told
    assert not list(tmp_path.iterdir())


def test_bad_calls_end_in_a_sentence(place, tmp_path, fails):
    what = (TOOL, place / 'config.py', place / 'model.pth')
    (tmp_path / 'taken').mkdir()
    (tmp_path / 'taken/mine.txt').write_text('x')
    assert 'not empty' in fails(*what, tmp_path / 'taken')
    told = fails(*what, tmp_path / 'out', '--images', place / 'data/imgs')
    assert 'go together' in told
    away = '--cfg-options', 'test_dataloader.dataset.data_root=/nowhere'
    told = fails(*what, tmp_path / 'out', *away)
    assert '--images FOLDER and --sentences FILE' in told
    assert not (tmp_path / 'out').exists()
    with pytest.raises(LaunchError, match='holds a whole model'):
        read_source(place / 'onnx', 'more.pth')
    with pytest.raises(LaunchError, match='holds no model'):
        PersonRetrievalInferencer(str(tmp_path), gallery=str(place / 'data'))


def test_a_missing_library_names_the_extra(place, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match=r'mmtpr\[onnx\]'):
        PersonRetrievalInferencer(
            str(place / 'onnx'), gallery=str(place / 'data')
        )
    with pytest.raises(ImportError, match=r'mmtpr\[onnx\]'):
        export_onnx(None, None, None, place / 'more')


def test_the_cache_knows_another_export(place, tmp_path):
    """The file of embeddings is used again for the same export alone."""
    cache = tmp_path / 'cache.pt'
    what = dict(gallery=str(place / 'data/imgs'), cache=str(cache))
    PersonRetrievalInferencer(str(place / 'onnx'), **what)
    before = cache.stat().st_mtime_ns
    PersonRetrievalInferencer(str(place / 'onnx'), **what)
    assert cache.stat().st_mtime_ns == before
    plain = str(place / 'config.py'), str(place / 'model.pth')
    PersonRetrievalInferencer(*plain, **what)
    assert cache.stat().st_mtime_ns != before


def test_the_gallery_tool_takes_the_folder(
    place, tmp_path, run_tool, fails, capsys
):
    pytest.importorskip('faiss', reason='the extra [search] is not installed')
    what = tmp_path / 'store', place / 'data/imgs/test', place / 'onnx'
    run_tool('tools/gallery.py', 'build', *what, '--num-workers', 0)
    assert '6 images; 6 new' in capsys.readouterr().out
    plain = place / 'config.py', place / 'model.pth', '--num-workers', 0
    run_tool('tools/gallery.py', 'update', *what[:2], *plain)
    assert '6 as they were' in capsys.readouterr().out
    run_tool('tools/search.py', what[2], '-', what[0], 'a man in red')
    assert '0008_0.png' in capsys.readouterr().out
    told = fails('tools/gallery.py', 'update', *what, place / 'model.pth')
    assert 'holds a whole model' in told
