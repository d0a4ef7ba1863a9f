"""From collated samples to tensors."""

import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.models.data_preprocessor import used_length
from mmtpr.structures import RetrievalDataSample


def _sample(image=None, masked=False, **meta):
    sample = RetrievalDataSample(metainfo=meta)
    if 'caption' in meta:
        sample.tokens = torch.arange(5)
        if masked:
            sample.mlm_tokens = torch.arange(5) + 1
            sample.mlm_labels = torch.full((5,), -100)
    return dict(inputs=dict(image=image), data_samples=sample)


def _image(height=4, width=2, value=0):
    return torch.full((3, height, width), value, dtype=torch.uint8)


def test_queries_and_gallery_in_one_batch():
    batch = pseudo_collate(
        [
            _sample(role='query', caption='a man'),
            _sample(_image(), role='gallery', img_path='a.png'),
            _sample(role='query', caption='a woman'),
        ]
    )
    out = RetrievalDataPreprocessor()(batch)
    inputs = out['inputs']
    images, texts = ['image', 'image_index'], ['tokens', 'tokens_index']
    assert sorted(inputs) == [*images, *texts, 'tokens_length']
    assert inputs['image'].shape == (1, 3, 4, 2)
    assert inputs['image_index'].tolist() == [1]
    assert inputs['tokens'].shape == (2, 5)
    assert inputs['tokens_index'].tolist() == [0, 2]
    assert len(out['data_samples']) == 3


def test_normalisation_turns_bgr_into_rgb():
    image = torch.stack([torch.full((4, 2), v) for v in (10, 20, 30)])
    batch = pseudo_collate([_sample(image.to(torch.uint8), img_path='a')])
    options = dict(mean=[1, 2, 3], std=[1, 2, 4])
    rgb = RetrievalDataPreprocessor(**options)(batch)['inputs']['image']
    assert rgb[0, :, 0, 0].tolist() == [29, 9, 1.75]
    kept = RetrievalDataPreprocessor(**options, to_rgb=False)
    assert kept(batch)['inputs']['image'][0, :, 0, 0].tolist() == [9, 9, 6.75]


def test_defaults_are_clips():
    batch = pseudo_collate([_sample(_image(value=255), img_path='a')])
    image = RetrievalDataPreprocessor()(batch)['inputs']['image']
    wanted = (1 - 0.48145466) / 0.26862954
    assert image[0, 0, 0, 0].item() == pytest.approx(wanted, rel=1e-5)


def test_masked_captions_are_stacked():
    samples = [_sample(_image(), True, caption='x', img_path='a')] * 2
    inputs = RetrievalDataPreprocessor()(pseudo_collate(samples))['inputs']
    assert inputs['mlm_tokens'].tolist() == [[1, 2, 3, 4, 5]] * 2
    assert inputs['mlm_labels'].shape == (2, 5)


def test_captions_masked_in_part_are_refused():
    samples = [_sample(None, m, caption='x') for m in (True, False)]
    with pytest.raises(ValueError, match=r'mmtpr\.MaskTokens'):
        RetrievalDataPreprocessor()(pseudo_collate(samples))


def test_images_of_different_size_are_named():
    batch = pseudo_collate(
        [
            _sample(_image(), img_path='imgs/a.png'),
            _sample(_image(height=6), img_path='imgs/b.png'),
        ]
    )
    with pytest.raises(ValueError, match='differ in shape') as error:
        RetrievalDataPreprocessor()(batch)
    message = str(error.value)
    for part in ('(3, 4, 2) of "imgs/a.png"', '(3, 6, 2) of "imgs/b.png"'):
        assert part in message
    assert "type='Resize'" in message


def test_three_channels_are_asked_for():
    with pytest.raises(ValueError, match='3 values'):
        RetrievalDataPreprocessor(mean=[1], std=[1])


@pytest.mark.gpu
def test_batches_go_to_the_device():
    preprocessor = RetrievalDataPreprocessor(non_blocking=True).cuda()
    batch = pseudo_collate([_sample(_image(), caption='x', img_path='a')])
    inputs = preprocessor(batch)['inputs']
    assert all(value.is_cuda for value in inputs.values())


def test_other_images_have_inputs_of_their_own():
    batch = pseudo_collate(
        [
            _sample(_image(), role='train', img_path='a.png'),
            _sample(_image(), role='train', img_path='b.png'),
        ]
    )
    batch['inputs']['reference'] = [None, _image(6, 3, 255)]
    inputs = RetrievalDataPreprocessor()(batch)['inputs']
    assert inputs['image'].shape == (2, 3, 4, 2)
    assert inputs['reference'].shape == (1, 3, 6, 3)
    assert inputs['reference_index'].tolist() == [1]
    wanted = (1 - 0.48145466) / 0.26862954
    assert inputs['reference'][0, 0, 0, 0].item() == pytest.approx(wanted)
    batch['inputs']['reference'] = [_image(), _image(6)]
    batch['data_samples'][0].set_metainfo(dict(reference_path='r.png'))
    with pytest.raises(ValueError, match=r'of "r\.png"'):
        RetrievalDataPreprocessor()(batch)


def test_cached_features_are_stacked_in_float32():
    samples = [_sample(None, pid=i) for i in range(2)]
    for i, item in enumerate(samples):
        item['data_samples'].image_feat = torch.full((4,), i).half()
    data = pseudo_collate([dict(item, inputs={}) for item in samples])
    inputs = RetrievalDataPreprocessor()(data)['inputs']
    assert list(inputs) == ['image_feat']
    assert inputs['image_feat'].dtype == torch.float32
    assert inputs['image_feat'][1].tolist() == [1] * 4


def test_positions_that_captions_need():
    """End-of-text 9; one caption is full, padding may look like its end."""
    tokens = torch.tensor([[1, 5, 9, 0, 0, 0], [1, 9, 0, 0, 0, 0]])
    # One more than needed: padding is told from the end of text by nothing.
    assert used_length(tokens) == 4
    assert used_length(tokens[:, :3]) == 3
    assert used_length(torch.tensor([[1, 5, 9, 9, 9, 9]])) == 3
    assert used_length(torch.tensor([[1, 5, 6, 7, 8, 9]])) == 6


def test_hidden_words_are_found_before_they_leave_the_cpu():
    samples = [_sample(_image(), True, caption='x', img_path='a')] * 2
    labels = torch.full((5,), -100)
    labels[3] = 7
    samples[0]['data_samples'].mlm_labels = labels
    batch = pseudo_collate(samples)
    inputs = RetrievalDataPreprocessor()(batch, True)['inputs']
    assert inputs['mlm_index'].tolist() == [3, 8]
    assert 'mlm_index' not in RetrievalDataPreprocessor()(batch)['inputs']
