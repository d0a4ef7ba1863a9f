"""Ids of samples, as datasets of others give them."""

import numpy as np
import pytest
import torch

from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.models.retrievers.sample_fields import batch_pids, sample_ids
from mmtpr.structures import RetrievalDataSample, collate_samples


def samples_of(*pids):
    return [
        RetrievalDataSample(metainfo=dict(pid=pid, img_path='a.png'))
        for pid in pids
    ]


def test_ids_may_be_integers_of_others():
    samples = samples_of(np.int32(3), torch.tensor(4), 5.0, 6)
    assert sample_ids(samples, 'pid').tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize('pid', ['0002', 1.5, float('nan'), 1 << 80, [1]])
def test_ids_that_are_no_numbers_are_named(pid):
    """Also those that the data preprocessor left alone, as a test may."""
    batch = [dict(data_samples=sample) for sample in samples_of(1, pid)]
    data = RetrievalDataPreprocessor()(collate_samples(batch), True)
    with pytest.raises(ValueError, match=r'as pid, but "a.png" has'):
        batch_pids(data['inputs'], data['data_samples'], torch.device('cpu'))
