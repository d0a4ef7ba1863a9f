"""Triplets in shards of WebDataset: written, streamed, read at random."""

import errno
import json
import shutil
import sys
from collections import Counter

import pytest
from judged_run import judged_run
from mmengine import fileio

from mmtpr.data_engine.assemble import Assembly, assemble, shards
from mmtpr.datasets import SynCPR
from mmtpr.datasets.packed_images import index_shards
from mmtpr.utils.errors import LaunchError

RULE = [dict(field='vlm.same', min=3)]
SHARD = 5
IMAGES = ('reference_path', 'img_path')


@pytest.fixture(scope='module')
def library():
    return pytest.importorskip('webdataset', reason='needs [webdataset]')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return judged_run(tmp_path_factory.mktemp('run'))


def assembled(run, out, rule=RULE, **kwargs):
    assembly = Assembly(rule, val_share=0.2, shard_pairs=SHARD, **kwargs)
    assemble(assembly, *run, out)
    return out / 'webdataset/shards'


@pytest.fixture(scope='module')
def done(library, run, tmp_path_factory):
    out = tmp_path_factory.mktemp('out') / 'assembled'
    return out, assembled(run, out)


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def samples(dataset):
    """Samples with the bytes of their images in place of the paths."""
    entries = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [
        entry | {key: fileio.get(entry[key]) for key in IMAGES if key in entry}
        for entry in entries
    ]


def syn_cpr(root, images, split='train', **kwargs):
    name = dict(train='SynCPR.json', val='SynCPR_val.json')[split]
    if split == 'val':
        kwargs |= dict(split='val', val_ids='all')
    prefix = dict(img_path=str(images))
    return SynCPR(name, str(root), data_prefix=prefix, **kwargs)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_the_dataset_reads_shards_as_it_reads_files(run, done, split):
    out, folder = done
    files = syn_cpr(out, run[1].folder / 'images', split)
    tars = syn_cpr(folder, 'tar://', split, missing_images='error')
    assert len(tars) > 10
    assert samples(tars) == samples(files)


def test_the_library_streams_them(library, run, done):
    _, folder = done
    names = sorted(str(p) for p in folder.glob('train-*.tar'))
    assert len(names) > 2
    stream = library.WebDataset(names, shardshuffle=False)
    found, sizes = {}, Counter()
    for sample in stream:
        sizes[sample['__url__']] += 1
        for triplet in json.loads(sample['json']):
            found[triplet['cpr_id'], triplet['pair']] = triplet, sample
    assert {*list(sizes.values())[:-1]} == {SHARD}
    dataset = syn_cpr(folder, 'tar://')
    assert len(found) == len(dataset)
    wanted = json.loads((folder / 'SynCPR.json').read_text(encoding='utf-8'))
    for triplet, entry in zip(wanted, samples(dataset), strict=True):
        same, sample = found[triplet['cpr_id'], triplet['pair']]
        assert same == triplet
        for role, key in zip(('reference', 'target'), IMAGES, strict=True):
            member = triplet[f'{role}_image_path']
            ending = member.removeprefix(f'{triplet["pair"]}.')
            assert sample[ending] == entry[key]
    # No image twice: two a pair, with both directions beside them.
    pairs = {triplet['pair'] for triplet in wanted}
    assert sum(sizes.values()) == len(pairs) == len(wanted) / 2
    files = [key for key in sample if not key.startswith('__')]
    assert sorted(files) == ['json', 'reference.png', 'target.png']


def test_shards_of_the_library_itself_are_read(library, done, tmp_path):
    """Others write with ShardWriter, which cuts where it likes."""
    _, folder = done
    names = sorted(str(p) for p in folder.glob('train-*.tar'))
    pattern = str(tmp_path / 'ours-%04d.tar')
    with library.ShardWriter(pattern, maxcount=7, verbose=0) as writer:
        for sample in library.WebDataset(names, shardshuffle=False):
            writer.write(
                {k: v for k, v in sample.items() if k in ('__key__', 'json')}
                | {k: v for k, v in sample.items() if k.endswith('.png')}
            )
    index_shards(tmp_path)
    other = syn_cpr(folder, f'tar://{tmp_path}')
    assert samples(other) == samples(syn_cpr(folder, 'tar://'))


def test_a_stopped_run_goes_on_with_the_same_bytes(
    run, done, tmp_path, monkeypatch
):
    _, whole = done
    image, count = shards.ShardStage._image, []

    def full(stage, path):
        count.append(path)
        if len(count) == 4 * SHARD + 3:
            raise OSError(errno.ENOSPC, 'no space')
        return image(stage, path)

    monkeypatch.setattr(shards.ShardStage, '_image', full)
    out = tmp_path / 'out'
    with pytest.raises(LaunchError, match=r'disk is full.*train-000002\.tar'):
        assembled(run, out)
    folder = out / 'webdataset/shards'
    assert sorted(content(folder)) == ['train-000000.tar', 'train-000001.tar']
    first = len(count) - 1
    assert assembled(run, out) == folder
    images = 2 * sum(
        len(json.loads((whole / name).read_text(encoding='utf-8'))) // 2
        for name in ('SynCPR.json', 'SynCPR_val.json')
    )
    # The shard that was cut off is made again, those before it are not.
    assert len(count) - first - 1 == images - 4 * SHARD
    assert content(folder) == content(whole)
    assembled(run, out)
    assert len(count) - first - 1 == images - 4 * SHARD


def test_half_written_shards_of_a_killed_run_are_removed(
    library, run, done, tmp_path
):
    _, whole = done
    out = tmp_path / 'out'
    folder = assembled(run, out)
    (out / 'webdataset/block-000000.jsonl').unlink()
    for name in ('train-000000.tar', 'index.npy', 'SynCPR.json'):
        (folder / f'.{name}._7ojqwul').touch()
    assert assembled(run, out) == folder
    assert content(folder) == content(whole)


def test_shards_of_other_triplets_stay(run, done, tmp_path):
    out, _ = done
    other = tmp_path / 'other'
    assemble(Assembly([dict(field='vlm.same', min=3.5)]), *run, other)
    shutil.copytree(out / 'webdataset', other / 'webdataset')
    before = content(other / 'webdataset/shards')
    with pytest.raises(LaunchError, match=r'with other settings .*triplets'):
        shards.write_shards(other, run[1].folder / 'images', SHARD)
    assert content(other / 'webdataset/shards') == before


def test_an_image_that_is_gone(library, tmp_path):
    run = judged_run(tmp_path / 'run', 12, faulty=False)
    gone = run[1].folder / 'images/000/000003-00_target.png'
    gone.unlink()
    with pytest.raises(LaunchError, match=r'000003-00_target\.png" cannot be'):
        assembled(run, tmp_path / 'out')


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, 'webdataset', None)
    with pytest.raises(ImportError, match=r'pip install "mmtpr\[webdataset'):
        Assembly(RULE, shard_pairs=3)
    Assembly(RULE)


@pytest.mark.parametrize('number', [0, 2.5, '3'])
def test_numbers_of_pairs_of_no_sense(number):
    with pytest.raises(ValueError, match='a whole number of at least 1, got'):
        Assembly(RULE, shard_pairs=number)
