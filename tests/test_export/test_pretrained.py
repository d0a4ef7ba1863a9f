"""Retrievers saved to a folder: the same rankings, and nothing executed."""

import copy
import json

import pytest
import torch
from export_cases import MODELS_BY_NAME, write_case
from safetensors.torch import load_file, save_file

from mmtpr.apis import PersonRetrievalInferencer, load_embedder
from mmtpr.export import PretrainedRetriever
from mmtpr.export.safe_config import check_config
from mmtpr.models.adapters import remove_adapters
from mmtpr.utils.errors import LaunchError

pytest.importorskip('tokenizers', reason='the extra [onnx] is not installed')


@pytest.fixture(scope='module', params=sorted(MODELS_BY_NAME))
def case(request, tmp_path_factory):
    folder = write_case(tmp_path_factory.mktemp('saved'), request.param)
    found = PretrainedRetriever.of(
        *(str(folder / 'config.py'), str(folder / 'model.pth')),
        measured={'R@1 on tiny data': 12.5},
    )
    found.save_pretrained(folder / 'saved')
    return request.param, folder


def change(folder, edit):
    """A copy of a folder with another config."""
    data = json.loads((folder / 'config.json').read_text())
    edit(data)
    (folder / 'config.json').write_text(json.dumps(data))


def test_the_files(case):
    _, folder = case
    files = [path for path in folder.iterdir() if path.is_file()]
    assert len({path.stat().st_mode for path in files}) == 1
    saved = folder / 'saved'
    assert sorted(path.name for path in saved.iterdir()) == [
        *('README.md', 'config.json', 'model.safetensors'),
        'tokenizer.json',
    ]
    card = (saved / 'README.md').read_text()
    assert '| R@1 on tiny data | 12.5 |' in card
    assert 'library_name: mmtpr' in card
    text = (saved / 'config.json').read_text()
    assert str(folder) not in text
    assert '.lora_' not in ''.join(load_file(saved / 'model.safetensors'))


def test_rankings_are_the_same(case):
    name, folder = case
    query = 'A person in a red top.'
    if name in ('words', 'blip2'):
        image = folder / 'data/imgs/test/0008_0.png'
        query = dict(img_path=str(image), caption=query)
    what = dict(gallery=str(folder / 'data/imgs'))
    plain = PersonRetrievalInferencer(
        *(str(folder / 'config.py'), str(folder / 'model.pth')), **what
    )
    saved = PersonRetrievalInferencer(str(folder / 'saved'), **what)
    assert torch.allclose(
        saved.index.features, plain.index.features, atol=1e-5
    )
    one, other = (
        x(query, num_results=30)['predictions'][0] for x in (saved, plain)
    )
    scores = dict(zip(other['paths'], other['scores'], strict=True))
    for path, score in zip(one['paths'], one['scores'], strict=True):
        assert abs(score - scores[path]) < 1e-5
    # A gallery of the one goes on with the other.
    _, before = load_embedder(
        str(folder / 'config.py'), str(folder / 'model.pth')
    )
    assert load_embedder(str(folder / 'saved'))[1] == before


def test_saved_once_more(case, tmp_path):
    _, folder = case
    again = PretrainedRetriever.from_pretrained(folder / 'saved')
    assert again.measured == {'R@1 on tiny data': 12.5}
    again.save_pretrained(tmp_path / 'again')
    one, other = (
        load_file(place / 'model.safetensors')
        for place in (folder / 'saved', tmp_path / 'again')
    )
    assert all(torch.equal(one[k], other[k]) for k in one.keys() | other)
    with pytest.raises(FileExistsError, match='left as it is'):
        again.save_pretrained(tmp_path / 'again')


@pytest.fixture
def saved(tmp_path):
    folder = write_case(tmp_path, 'text')
    PretrainedRetriever.of(
        str(folder / 'config.py'), str(folder / 'model.pth')
    ).save_pretrained(folder / 'saved')
    return folder / 'saved'


@pytest.mark.parametrize('kind', ['missing', 'unexpected', 'mismatched'])
def test_keys_that_do_not_fit(saved, kind):
    state = load_file(saved / 'model.safetensors')
    key = 'encoder.clip.visual.conv1.weight'
    if kind == 'missing':
        del state[key]
    elif kind == 'unexpected':
        state['encoder.more'] = torch.ones(2)
    else:
        state[key] = state[key][:3].clone()
    save_file(state, saved / 'model.safetensors')
    with pytest.raises(LaunchError, match=f'1 {kind} key'):
        PretrainedRetriever.from_pretrained(saved)


def test_other_weights_are_of_another_gallery(saved):
    _, before = load_embedder(str(saved))
    state = load_file(saved / 'model.safetensors')
    state['encoder.clip.visual.conv1.weight'] += 0.1
    save_file(state, saved / 'model.safetensors')
    assert load_embedder(str(saved))[1].weights != before.weights


@pytest.mark.parametrize(
    'bad',
    [
        dict(type='subprocess.Popen', args=['touch', 'ran']),
        dict(type='os.system', command='touch ran'),
        dict(type='mmtpr.seed_worker'),
        dict(type='mmpretrain.get_model'),
        dict(type=['a']),
        dict(init_cfg=dict(type='LN')),
        dict(custom_imports=dict(imports=['antigravity'])),
        dict(trust_remote_code=True),
    ],
)
def test_a_config_runs_nothing(saved, bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = json.loads((saved / 'config.json').read_text())['config']
    check_config(whole, 'as it was')
    change(saved, lambda data: data['config']['model'].update(more=bad))
    for load in (PretrainedRetriever.from_pretrained, load_embedder):
        with pytest.raises(LaunchError, match='Nothing was loaded'):
            load(str(saved))
    assert not (tmp_path / 'ran').exists()


def test_files_outside_the_folder(saved):
    def edit(data):
        pipeline = data['config']['test_dataloader']['dataset']['pipeline']
        pipeline[1]['tokenizer']['json'] = '../elsewhere.json'

    change(saved, edit)
    with pytest.raises(ValueError, match='must be a file in the folder'):
        PretrainedRetriever.from_pretrained(saved)
    change(saved, lambda data: data.update(version=7))
    with pytest.raises(ValueError, match='has layout 7'):
        PretrainedRetriever.from_pretrained(saved)
    change(saved, lambda data: data.update(kind='bert'))
    with pytest.raises(ValueError, match='no config of a retriever'):
        PretrainedRetriever.from_pretrained(saved)


@pytest.mark.parametrize(
    ('edit', 'match'),
    [
        (lambda data: data.update(version='x'), 'has no version as mmtpr'),
        (lambda data: data.pop('version'), 'has no version as mmtpr'),
        (lambda data: data.update(identity=3), 'has no identity as mmtpr'),
        (lambda data: data.update(config=[]), 'has no config as mmtpr'),
        (lambda data: data['config'].pop('model'), 'has no model as mmtpr'),
        (lambda data: data['identity'].pop('weights'), 'has no weights'),
    ],
)
def test_a_config_that_lost_parts(saved, edit, match):
    change(saved, edit)
    with pytest.raises(ValueError, match=match):
        PretrainedRetriever.from_pretrained(saved)


def test_adapters_alone_need_a_name_of_the_weights_below(tmp_path):
    folder = write_case(tmp_path, 'text')
    found = PretrainedRetriever.of(
        *(str(folder / 'config.py'), str(folder / 'model.pth')), merged=False
    )
    with pytest.raises(LaunchError, match='the config names none'):
        found.save_pretrained(tmp_path / 'saved')
    assert not (tmp_path / 'saved').exists()
    found.cfg.model.encoder.module.pretrained = str(folder / 'model.pth')
    with pytest.raises(LaunchError, match='is a file of this machine'):
        found.save_pretrained(tmp_path / 'saved')


def test_adapters_alone(tmp_path, monkeypatch):
    """The weights below come by their name, here one that is there later."""
    folder = write_case(tmp_path, 'text')
    monkeypatch.chdir(folder)
    found = PretrainedRetriever.of('config.py', 'model.pth', merged=False)
    found.cfg.model.encoder.module.pretrained = 'base.pt'
    found.save_pretrained('saved')
    state = load_file('saved/model.safetensors')
    assert any(key.endswith('.lora_A') for key in state)
    assert not any(key.endswith('visual.conv1.weight') for key in state)
    data = json.loads((folder / 'saved/config.json').read_text())
    assert data['base'] == ['base.pt']
    assert 'on base.pt' in (folder / 'saved/README.md').read_text()
    with pytest.raises((LaunchError, ValueError), match=r'base.pt'):
        PretrainedRetriever.from_pretrained('saved')
    below = remove_adapters(copy.deepcopy(found.model))
    torch.save(below.encoder.clip.state_dict(), 'base.pt')
    again = PretrainedRetriever.from_pretrained('saved')
    assert not again.merged
    images = torch.randn(2, 3, 64, 32)
    one, other, without = (
        model.extract_image_feat(images)
        for model in (again.model, found.model, below)
    )
    assert torch.allclose(one, other, atol=1e-6)
    assert not torch.allclose(one, without, atol=1e-3)


OFFLINE = """
from mmtpr.export import PretrainedRetriever
from mmtpr.utils.errors import LaunchError
try:
    PretrainedRetriever.from_pretrained('nobody/no-such-model')
except LaunchError as error:
    print('told:', error)
"""


def test_the_hub_offline_is_one_sentence(run_code, tmp_path):
    told = run_code(OFFLINE, HF_HUB_OFFLINE='1', HF_HOME=str(tmp_path))
    (line,) = [x for x in told.splitlines() if x.startswith('told:')]
    assert (
        '"nobody/no-such-model" is neither a folder nor in the cache' in line
    )


def test_the_hub_takes_the_folder(saved, monkeypatch):
    """What goes to the hub is what a folder holds."""
    from huggingface_hub import HfApi

    seen = {}

    class Made:
        repo_id = 'me/model'

    def upload(self, *, folder_path, repo_id, **_):
        seen[repo_id] = sorted(p.name for p in folder_path.iterdir())
        return 'https://the.hub/commit'

    monkeypatch.setattr(HfApi, 'create_repo', lambda *_, **__: Made())
    monkeypatch.setattr(HfApi, 'upload_folder', upload)
    found = PretrainedRetriever.from_pretrained(saved)
    assert found.push_to_hub('model') == 'https://the.hub/commit'
    assert seen == {'me/model': sorted(p.name for p in saved.iterdir())}
