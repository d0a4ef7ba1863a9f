"""Parts of a cross-modal retriever: what trains, temperature, words."""

from itertools import combinations

import pytest
import torch

from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_swin_bert_cfg, write_tiny_vocab

pytest.importorskip(
    'transformers', reason='BERT needs the extra [blip2] (transformers)'
)
pytest.importorskip(
    'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
)

PROMPTS = [('a man', 'a woman'), ('a red shirt', 'a blue shirt')]


def losses_of(folder) -> dict[str, dict]:
    return dict(
        itc=dict(type='mmtpr.ITCLoss', positives='pid'),
        sdm=dict(type='mmtpr.SDMLoss'),
        cmpm=dict(type='mmtpr.CMPMLoss'),
        id=dict(type='mmtpr.IDLoss', num_classes=2),
        itm=dict(type='mmtpr.ITMLoss'),
        mlm=dict(type='mmtpr.CrossModalMLMLoss'),
        attributes=dict(
            type='mmtpr.AttributePromptLoss',
            prompts=PROMPTS,
            vocab=write_tiny_vocab(folder / 'vocab.txt'),
        ),
    )


def build(losses):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmtpr.CrossModalPersonRetriever',
            encoder=tiny_swin_bert_cfg(),
            losses=losses,
        )
    )


def batch(largest=28):
    torch.manual_seed(1)
    samples = []
    for i in range(4):
        meta = dict(role='train', pid=i // 2, attributes=[0, i % 2])
        sample = RetrievalDataSample(metainfo=meta)
        sample.tokens = torch.randint(5, 28, (9,))
        sample.tokens[4] = largest
        sample.mlm_tokens = sample.tokens.clone()
        sample.mlm_tokens[2] = 4
        sample.mlm_labels = torch.full((9,), -100)
        sample.mlm_labels[2] = sample.tokens[2]
        samples.append(sample)
    images = torch.randint(0, 255, (4, 3, 64, 32), dtype=torch.uint8)
    return dict(inputs=dict(image=list(images)), data_samples=samples)


def test_whatever_the_losses_all_that_trains_gets_a_gradient(tmp_path):
    """Else distributed training stops at the second iteration."""
    losses = losses_of(tmp_path)
    some = [c for n in (1, 2) for c in combinations(losses, n)]
    for names in some:
        model = build({name: losses[name] for name in names}).train()
        data = model.data_preprocessor(batch(), True)
        sum(model(**data, mode='loss').values()).backward()
        idle = {
            n
            for n, p in model.named_parameters()
            if p.requires_grad and p.grad is None
        }
        assert not idle, names
        encoder = model.encoder
        uses = set(names) - {'itm', 'mlm'}
        for part in (encoder.image_projection, encoder.text_projection):
            assert part.weight.requires_grad == bool(uses), names
        scaled = uses - {'cmpm', 'id'}
        assert encoder.temperature.requires_grad == bool(scaled), names


@pytest.mark.parametrize(
    ('start', 'bound'), [(0.9, 0.5), (1e-5, 1e-3), (0.07, 0.07)]
)
def test_a_temperature_at_its_bound_still_learns(tmp_path, start, bound):
    model = build(dict(itc=losses_of(tmp_path)['itc'])).train()
    temperature = model.encoder.temperature
    with torch.no_grad():
        temperature.fill_(start)
    data = model.data_preprocessor(batch(), True)
    model(**data, mode='loss')['loss_itc'].backward()
    assert temperature.item() == pytest.approx(bound)
    assert temperature.grad.abs() > 0
    assert model.scale().item() == pytest.approx(1 / bound)
    with torch.inference_mode():
        assert model.scale().item() == pytest.approx(1 / bound)


def test_words_beyond_the_encoder_are_named_before_they_leave_the_cpu():
    model = build(dict(mlm=dict(type='mmtpr.CrossModalMLMLoss')))
    told = (
        'Token id 70 .* at least 71 words, but the encoder has 64. Set vocab'
    )
    with pytest.raises(ValueError, match=told):
        model.data_preprocessor(batch(largest=70), True)
    data = model.data_preprocessor(batch(largest=63), True)
    assert data['inputs']['tokens'].max() == 63
    with pytest.raises(ValueError, match=told):
        model.extract_text_feat(torch.full((1, 3), 70))


def test_prompts_of_a_larger_vocabulary_are_refused(tmp_path):
    losses = dict(attributes=losses_of(tmp_path)['attributes'])
    words = [f'word{i}' for i in range(60)]
    path = tmp_path / 'large.txt'
    path.write_text((tmp_path / 'vocab.txt').read_text() + '\n'.join(words))
    losses['attributes']['vocab'] = str(path)
    with pytest.raises(
        ValueError, match=r'large.txt" has \d+ words, but the '
    ):
        build(losses)
