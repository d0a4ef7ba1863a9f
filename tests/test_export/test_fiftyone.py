"""The folder that FiftyOne imports, read by the rules of its importer."""

import json
from pathlib import Path

import pytest
import torch
from export_cases import write_case

from mmtpr.apis import load_embedder, update_gallery

TOOL = 'tools/analysis/export_fiftyone.py'


def read(folder):
    """As its importer does with metadata that name no version."""
    metadata = json.loads((folder / 'metadata.json').read_text('utf-8'))
    assert metadata['media_type'] == 'image'
    assert 'version' not in metadata
    samples = json.loads((folder / 'samples.json').read_text('utf-8'))
    samples = samples['samples']
    kinds = {}
    for sample in samples:
        assert (folder / sample['filepath']).is_file()
        assert isinstance(sample['tags'], list)
        for name, value in sample.items():
            assert not name.startswith('_')
            assert '$' not in name
            # One type in all samples, or fields cannot be inferred.
            assert kinds.setdefault(name, type(value)) is type(value), name
            assert not isinstance(value, dict)
    return samples, metadata['info']


def test_a_dataset(tmp_path, run_tool):
    folder = write_case(tmp_path, 'text')
    run_tool(
        *(TOOL, folder / 'config.py', tmp_path / 'out'),
        *('--checkpoint', folder / 'model.pth', '--num-workers', 0),
    )
    samples, info = read(tmp_path / 'out')
    assert info['dataset'] == 'CUHKPEDES'
    assert {'model', 'weights', 'transforms'} <= set(info)
    assert len(samples) == 6
    for sample in samples:
        assert len(sample['captions']) == 2
        assert sample['caption'] == sample['captions'][0]
        assert isinstance(sample['pid'], int)
    embedder, _ = load_embedder(
        str(folder / 'config.py'), str(folder / 'model.pth')
    )
    entries = [dict(role='gallery', img_path=samples[2]['filepath'], pid=0)]
    (batch,) = embedder(entries)
    found = torch.tensor(samples[2]['embedding'])
    assert torch.allclose(found, batch.feats[0, 0], atol=1e-5)


def test_a_dataset_without_a_model(tmp_path, run_tool, capsys):
    folder = write_case(tmp_path, 'words')
    (folder / 'data/imgs/test/0008_0.png').write_bytes(b'broken')
    run_tool(TOOL, folder / 'config.py', tmp_path / 'out')
    samples, _ = read(tmp_path / 'out')
    assert 'embedding' not in samples[0]
    tags = {tag for sample in samples for tag in sample['tags']}
    assert tags == {'query', 'gallery'}
    paths = [sample['filepath'] for sample in samples]
    assert len(set(paths)) == len(paths)  # each image once


def test_a_broken_image_has_no_embedding(tmp_path, run_tool):
    folder = write_case(tmp_path, 'text')
    (broken,) = folder.glob('data/imgs/test/0008_0.png')
    broken.write_bytes(b'broken')
    run_tool(
        *(TOOL, folder / 'config.py', tmp_path / 'out'),
        *('--checkpoint', folder / 'model.pth', '--num-workers', 0),
    )
    samples, _ = read(tmp_path / 'out')
    without = [s['filepath'] for s in samples if 'embedding' not in s]
    assert without == [str(broken)]


def test_a_store(tmp_path, run_tool, fails):
    pytest.importorskip('faiss', reason='the extra [search] is not installed')
    from mmtpr.gallery import FaissStore, ModelIdentity

    folder = write_case(tmp_path, 'words')
    embedder, identity = load_embedder(
        str(folder / 'config.py'), str(folder / 'model.pth')
    )
    images = folder / 'data/imgs/test'
    with FaissStore(tmp_path / 'store', identity, write=True) as store:
        update_gallery(store, images, embedder)
        feats = store.fetch(['0008_1.png'])
    run_tool(TOOL, tmp_path / 'store', tmp_path / 'out')
    samples, info = read(tmp_path / 'out')
    assert info['weights'] == identity.weights
    assert len(samples) == 6
    (sample,) = [s for s in samples if s['item_id'] == '0008_1.png']
    assert Path(sample['filepath']) == images / '0008_1.png'
    mean = torch.nn.functional.normalize(feats[0].float().mean(0), dim=0)
    assert torch.allclose(torch.tensor(sample['embedding']), mean, atol=1e-3)
    assert sample['file_bytes'] == (images / '0008_1.png').stat().st_size

    other = ModelIdentity('m', 'w', 't')
    with FaissStore(tmp_path / 'more', other, write=True) as store:
        store.add(
            ['a'],
            torch.ones(1, 4) / 2,
            paths=['größe.png'],
            columns=dict(tags=['x'], camera=[3]),
        )
    (tmp_path / 'größe.png').touch()
    run_tool(TOOL, tmp_path / 'more', tmp_path / 'out2')
    text = (tmp_path / 'out2/samples.json').read_text('utf-8')
    (sample,) = json.loads(text)['samples']
    assert (sample['column_tags'], sample['camera']) == ('x', 3)

    told = fails(TOOL, tmp_path / 'store', tmp_path / 'out')
    assert 'not empty' in told
    told = fails(TOOL, images, tmp_path / 'out3')
    assert 'without a gallery store' in told
    told = fails(
        TOOL, tmp_path / 'store', tmp_path / 'out3', '--checkpoint', 'x.pth'
    )
    assert 'has its embeddings' in told
