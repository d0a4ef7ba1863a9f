import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmtpr.datasets.transforms import PackRetrievalInputs
from mmtpr.structures import RetrievalDataSample


def test_image_tokens_and_facts():
    img = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    sample = dict(
        img=img,
        img_path='a.png',
        role='train',
        pid=3,
        image_id=7,
        caption='A man.',
        attributes=[0, 1],
        flip=True,
        tokens=torch.arange(5),
        mlm_tokens=torch.arange(5) + 1,
        mlm_labels=torch.arange(5) + 2,
    )
    out = PackRetrievalInputs()(sample)
    assert out['inputs']['image'].dtype == torch.uint8
    np.testing.assert_array_equal(
        out['inputs']['image'].numpy(), img.transpose(2, 0, 1)
    )
    packed = out['data_samples']
    assert isinstance(packed, RetrievalDataSample)
    assert (packed.role, packed.pid, packed.image_id) == ('train', 3, 7)
    assert (packed.caption, packed.attributes) == ('A man.', [0, 1])
    assert 'flip' not in packed
    assert packed.tokens.tolist() == [0, 1, 2, 3, 4]
    assert packed.mlm_tokens[0] == 1
    assert packed.mlm_labels[0] == 2


def test_what_is_absent_is_left_out():
    out = PackRetrievalInputs()(dict(role='query', pid=1))
    assert out['inputs'] == dict(image=None)
    assert 'tokens' not in out['data_samples']
    assert 'image_id' not in out['data_samples']


def test_other_keys_and_grey_images():
    pack = PackRetrievalInputs(
        image_keys=dict(image='img', reference='reference_img'),
        token_keys=['eda_tokens'],
        meta_keys=['instance_id'],
    )
    out = pack(
        dict(
            reference_img=np.zeros((4, 5), np.float32),
            eda_tokens=torch.ones(2, dtype=torch.long),
            instance_id=-1,
            pid=1,
        )
    )
    assert out['inputs']['image'] is None
    assert out['inputs']['reference'].shape == (1, 4, 5)
    assert out['data_samples'].eda_tokens.tolist() == [1, 1]
    assert out['data_samples'].metainfo == dict(instance_id=-1)


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_mixed_samples_collate_to_a_list(order):
    pack = PackRetrievalInputs()
    samples = [
        pack(dict(role='query', pid=0)),
        pack(dict(role='gallery', pid=0, img=np.zeros((2, 2, 3), np.uint8))),
    ]
    batch = pseudo_collate([samples[i] for i in order])
    images = batch['inputs']['image']
    assert [image is None for image in images] == [i == 0 for i in order]
    assert len(batch['data_samples']) == 2
