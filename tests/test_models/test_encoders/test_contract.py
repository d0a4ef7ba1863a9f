"""The contract of encoders, by the smallest ones that keep it."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmtpr.models.encoders.contract import (
    CrossEncoder,
    DualEncoder,
    check_encoder,
)
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_encoder_cfg

WIDTH, WORDS = 8, 30


class OwnCrossEncoder(nn.Module):
    """Shares nothing with Swin and BERT but the contract."""

    pad_token_id = 0

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 16, 16)
        self.words = nn.Embedding(WORDS, WIDTH)
        self.reader = nn.MultiheadAttention(
            WIDTH, 2, kdim=WIDTH, vdim=WIDTH, batch_first=True
        )
        self.keys, self.values = nn.Linear(6, WIDTH), nn.Linear(6, WIDTH)
        self.sides = nn.ModuleList([nn.Linear(6, 4), nn.Linear(WIDTH, 4)])
        self.judge = nn.Linear(WIDTH, 2)
        self.speller = nn.Linear(WIDTH, WORDS)
        self.temperature = nn.Parameter(torch.tensor(0.1))

    def encode_image(self, images, return_tokens=False):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        features = self.sides[0](tokens.mean(1))
        return (features, tokens) if return_tokens else features

    def encode_text(self, tokens, mask=None, return_tokens=False):
        mask = self.text_mask(tokens) if mask is None else mask
        states = self.words(tokens) * mask[..., None]
        features = self.sides[1](states.sum(1))
        return (features, states) if return_tokens else features

    def text_mask(self, tokens):
        return (tokens != self.pad_token_id).long()

    def image_keys_values(self, image_embeds):
        return [(self.keys(image_embeds), self.values(image_embeds))]

    def prepare_text(self, text_embeds, text_mask):
        return text_embeds

    def fuse(
        self,
        text_embeds,
        text_mask,
        keys_values,
        only_first=False,
        prepared=False,
    ):
        states = text_embeds[:, :1] if only_first else text_embeds
        (keys, values), *_ = keys_values
        return states + self.reader(states, keys, values)[0]

    def match(self, fused):
        return self.judge(fused[:, 0])

    def predict_words(self, fused):
        return self.speller(fused)

    def freeze_unused(self, used):
        read = {'match', 'words'} & set(used)
        for part, needed in (
            (self.judge, 'match' in used),
            (self.speller, 'words' in used),
            (self.sides, 'features' in used),
            (self.temperature, 'temperature' in used),
            *((m, read) for m in (self.reader, self.keys, self.values)),
        ):
            if not needed:
                part.requires_grad_(False)


LOSSES = dict(
    itc=dict(type='mmtpr.ITCLoss', positives='pid'),
    itm=dict(type='mmtpr.ITMLoss'),
    mlm=dict(type='mmtpr.CrossModalMLMLoss'),
)


def build(names, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmtpr.CrossModalPersonRetriever',
            encoder=OwnCrossEncoder(),
            losses={name: LOSSES[name] for name in names},
            **kwargs,
        )
    )


def batch():
    torch.manual_seed(1)
    samples = []
    for i in range(4):
        meta = dict(pid=i // 2, role='query' if i % 2 else 'gallery')
        sample = RetrievalDataSample(metainfo=meta)
        sample.tokens = torch.randint(5, WORDS, (7,))
        sample.mlm_tokens = sample.tokens.clone()
        sample.mlm_tokens[2] = 4
        sample.mlm_labels = torch.full((7,), -100)
        sample.mlm_labels[2] = sample.tokens[2]
        samples.append(sample)
    images = torch.randint(0, 255, (4, 3, 64, 32), dtype=torch.uint8)
    return dict(inputs=dict(image=list(images)), data_samples=samples)


@pytest.mark.parametrize(
    'names', [['itc'], ['itm'], ['mlm'], ['itc', 'itm'], [*LOSSES]]
)
def test_another_cross_encoder_trains_with_any_losses(names):
    model = build(names).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    log = model.train_step(batch(), OptimWrapper(optimizer=optimizer))
    assert set(log) == {'loss', *(f'loss_{name}' for name in names)}
    data = model.data_preprocessor(batch(), True)
    sum(model(**data, mode='loss').values()).backward()
    free = {n for n, p in model.named_parameters() if p.requires_grad}
    got = {n for n, p in model.named_parameters() if p.grad is not None}
    assert got == free
    heads = {'itm': 'judge', 'mlm': 'speller', 'itc': 'temperature'}
    for name, part in heads.items():
        assert any(part in n for n in free) == (name in names)


def test_another_cross_encoder_is_tested_and_judges_pairs():
    model = build([*LOSSES], keep_embeds=True).eval()
    with torch.inference_mode():
        samples = model.test_step(batch())
        texts = [s for s in samples if s.role == 'query']
        images = [s for s in samples if s.role == 'gallery']
        states = torch.stack([s.text_embeds for s in texts])
        mask = torch.stack([s.text_mask for s in texts])
        embeds = torch.stack([s.image_embeds for s in images])
        table = model.itm_scores(states, mask, embeds, pairwise=False)
        pairs = model.itm_scores(states, mask, embeds)
    assert [s.features.shape for s in samples] == [(1, 4), (4,)] * 2
    torch.testing.assert_close(table.diagonal(), pairs)


def test_what_an_encoder_lacks_is_named_at_once():
    class Half(OwnCrossEncoder):
        freeze_unused = property()

    with pytest.raises(
        TypeError,
        match=r'Half is no cross encoder: it has no freeze_unused. See '
        r'mmtpr.models.encoders.contract.CrossEncoder',
    ):
        check_encoder(Half(), CrossEncoder)
    dual = MODELS.build(tiny_encoder_cfg())
    check_encoder(dual, DualEncoder)
    lacks = 'pad_token_id, temperature, text_mask, image_keys_values, prepare'
    with pytest.raises(TypeError, match=f'no cross encoder: .* no {lacks}'):
        check_encoder(dual, CrossEncoder)
    with pytest.raises(TypeError, match='Linear is no dual encoder: it has'):
        MODELS.build(
            dict(type='mmtpr.TextPersonRetriever', encoder=nn.Linear(2, 2))
        )


def test_adapter_models_keep_the_contract_of_their_encoder():
    model = dict(
        type='mmtpr.WoRAModel',
        module=OwnCrossEncoder(),
        targets=[dict(type='keys')],
    )
    check_encoder(MODELS.build(model), CrossEncoder)
