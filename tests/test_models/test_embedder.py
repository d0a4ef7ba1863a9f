"""Embedding of entries in batches, with broken images among them."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from mmtpr.models.embedder import (
    EmbeddedRows,
    Embedder,
    check_finite,
    unreadable_error,
)


def pipeline(entry):
    if 'caption' in entry:
        return dict(value=float(len(entry['caption'])))
    with Image.open(entry['img_path']) as image:
        return dict(value=float(np.asarray(image).mean()))


def embed(samples):
    values = torch.tensor([sample['value'] for sample in samples])
    return torch.stack([values, values * 2], dim=1)


@pytest.fixture
def entries(tmp_path):
    for i in range(5):
        Image.new('L', (4, 4), 10 * i).save(tmp_path / f'{i}.png')
    (tmp_path / '1.png').write_bytes(b'')
    names = ['0.png', '1.png', '2.png', 'gone.png', '9.png', '4.png']
    return [dict(img_path=str(tmp_path / name)) for name in names]


@pytest.mark.parametrize('num_workers', [0, 2])
def test_broken_images_leave_their_batch_and_are_named(entries, num_workers):
    batches = list(Embedder(pipeline, list, embed, 2, num_workers)(entries))
    assert [len(batch) for batch in batches] == [2, 2, 2]
    assert [batch.indices for batch in batches] == [[0], [2], [5]]
    broken = {k: v for batch in batches for k, v in batch.broken.items()}
    assert broken == {1: 'empty', 3: 'missing', 4: 'missing'}
    feats = torch.cat([batch.feats for batch in batches])
    assert feats.tolist() == [[0, 0], [20, 40], [40, 80]]
    message = str(unreadable_error(entries, broken, ', or skip them'))
    assert message.startswith('3 of 6 images cannot be read, e.g. "')
    assert message.endswith(
        '1.png": empty. Repair or remove such images, or skip them.'
    )


def test_a_batch_of_broken_images_alone_has_no_embeddings(entries):
    (batch,) = Embedder(pipeline, list, embed)([entries[1], entries[3]])
    assert (batch.indices, batch.batch, batch.feats) == ([], None, None)
    assert len(batch) == 2
    assert list(Embedder(pipeline, list, embed)([])) == []


def test_faults_of_the_pipeline_are_none_of_the_image(entries):
    def explode(entry):
        raise KeyError('scale')

    with pytest.raises(KeyError, match='scale'):
        list(Embedder(explode, list, embed)(entries[:1]))
    (batch,) = Embedder(explode, list, embed)(entries[1:2])
    assert batch.broken == {0: 'empty'}  # which explains the error


def test_a_pipeline_that_gives_nothing(entries):
    (batch,) = Embedder(lambda entry: None, list, embed)(entries[:1])
    assert batch.broken == {0: 'the pipeline gives nothing'}
    with pytest.raises(ValueError, match=r'nothing for .*a red coat'):
        list(
            Embedder(lambda entry: None, list, embed)(
                [dict(caption='a red coat')]
            )
        )


def test_errors_of_captions_are_raised():
    def refuse(entry):
        raise ValueError('too long')

    with pytest.raises(ValueError, match='too long'):
        list(Embedder(refuse, list, embed)([dict(caption='a')]))


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_embeddings_are_finite(entries, value):
    def spoil(samples):
        feats = embed(samples)
        feats[-1, 1] = float(value)
        return feats

    with pytest.raises(ValueError, match=r'2\.png" is not finite'):
        list(Embedder(pipeline, list, spoil, 3)(entries))
    feats = torch.tensor([[1.0], [float(value)]])
    with pytest.raises(ValueError, match='"b" is not finite'):
        check_finite(feats, [dict(caption='a'), dict(caption='b')])


def test_entries_are_made_when_they_are_loaded():
    made = []

    class Lazy(list):
        def __getitem__(self, index):
            made.append(index)
            return dict(caption='ab' * index)

    batches = Embedder(pipeline, list, embed, 2)(Lazy([None] * 4))
    assert next(batches).feats[:, 0].tolist() == [0, 2]
    assert made == [0, 1]
    assert pickle.loads(pickle.dumps(next(batches))).indices == [2, 3]


def test_rows_are_filled_in_one_array():
    feats = torch.randn(7, 2, 3)
    rows = EmbeddedRows(9)
    assert rows.first(0) is None
    rows.put([0, 1, 2, 3], feats[:4])
    array = rows.first(9)
    rows.put([6, 5, 4], feats[4:].flip(0))
    assert rows.first(9) is array  # no second copy
    assert torch.equal(array[:7], feats)
    assert not array[7:].any()
    # What is left out is not kept, nor written to a file.
    left = rows.first(7)
    assert torch.equal(left, feats)
    assert left.untyped_storage().nbytes() == 4 * 7 * 2 * 3
