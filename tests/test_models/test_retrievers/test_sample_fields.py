"""Ids of samples, as datasets of others give them."""

import numpy as np
import pytest
import torch

from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.models.retrievers.sample_fields import (
    batch_label_hat,
    batch_pids,
    sample_ids,
)
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


class TestLabelHat:
    """Which pairs count: all tell, or none does."""

    def read(self, *values):
        samples = samples_of(*range(len(values)))
        for sample, value in zip(samples, values, strict=True):
            if value is not None:
                sample.set_metainfo(dict(label_hat=value))
        batch = [dict(data_samples=sample) for sample in samples]
        data = RetrievalDataPreprocessor()(collate_samples(batch), True)
        return batch_label_hat(
            data['inputs'], data['data_samples'], torch.device('cpu')
        )

    @pytest.mark.parametrize(
        'values', [(1, 0, 1), (True, False, True), (1.0, np.int8(0), 1)]
    )
    def test_numbers_of_any_kind(self, values):
        found = self.read(*values)
        assert found.tolist() == [1, 0, 1]
        assert found.dtype == torch.long

    def test_absent(self):
        assert self.read(None, None) is None

    def test_only_some(self):
        with pytest.raises(ValueError, match='only 1 have it'):
            self.read(1, None)

    @pytest.mark.parametrize('value', [-1, 2])
    def test_neither_0_nor_1(self, value):
        with pytest.raises(ValueError, match='must be 0 or 1'):
            self.read(1, value)
