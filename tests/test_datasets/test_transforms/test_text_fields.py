"""Text fields of samples, from the pipeline to the model."""

import copy
import pickle

import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmtpr.datasets.transforms import PackRetrievalInputs
from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.structures import RetrievalDataSample, TextField, text_fields


def test_the_list():
    assert {name: field.words for name, field in text_fields().items()} == {
        'tokens': True,
        'mlm_tokens': True,
        'mlm_labels': False,
        'eda_tokens': True,
        'negative_tokens': True,
    }


@pytest.mark.parametrize('words', [True, False])
def test_a_field_added_there_travels_to_the_model(monkeypatch, words):
    field = TextField('short_tokens', 'Token ids of a summary', words)
    monkeypatch.setattr(
        RetrievalDataSample, 'short_tokens', field, raising=False
    )
    pack = PackRetrievalInputs()
    batch = [
        pack(
            dict(
                pid=i,
                tokens=torch.arange(5),
                short_tokens=torch.arange(3) + 10 * i,
            )
        )
        for i in range(2)
    ]
    preprocessor = RetrievalDataPreprocessor()
    inputs = preprocessor(pseudo_collate(batch))['inputs']
    assert inputs['short_tokens'].tolist() == [[0, 1, 2], [10, 11, 12]]
    preprocessor.vocab_size = 12
    if words:
        with pytest.raises(ValueError, match='Token id 12'):
            preprocessor(pseudo_collate(batch))
    else:
        preprocessor(pseudo_collate(batch))
    del batch[1]['data_samples'].short_tokens
    with pytest.raises(ValueError, match='Only a part of the captions'):
        preprocessor(pseudo_collate(batch))


def test_fields_take_tensors_only_and_survive_copies():
    sample = RetrievalDataSample(metainfo=dict(pid=3))
    with pytest.raises(AssertionError):
        sample.tokens = [1, 2]
    sample = RetrievalDataSample(metainfo=dict(pid=3), tokens=torch.arange(4))
    sample.features = torch.ones(2)
    for other in (
        copy.deepcopy(sample),
        pickle.loads(pickle.dumps(sample)),
        sample.to('cpu'),
    ):
        assert sorted(other.keys()) == ['features', 'tokens']
        assert other.tokens.tolist() == [0, 1, 2, 3]
    assert RetrievalDataSample.tokens.__doc__.startswith('Token ids of the')
    del sample.tokens
    assert 'tokens' not in sample
    assert sample.get('tokens') is None
