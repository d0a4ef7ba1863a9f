"""A batch encoded in parts trains as the whole batch does."""

import copy
import json

import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.models.retrievers import accumulation
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import (
    tiny_encoder_cfg,
    tiny_swin_bert_cfg,
    write_tiny_vocab,
)

PAIRS = dict(
    sdm=dict(type='mmtpr.SDMLoss'),
    itc=dict(type='mmtpr.ITCLoss', positives='image_id'),
    cmpm=dict(type='mmtpr.CMPMLoss', weight=0.3),
)
SIZE = 8


def dual(**kwargs):
    """CLIP with losses over pairs, and one on single images."""
    identity = dict(type='mmtpr.IDLoss', num_classes=4)
    cfg = dict(
        type='mmtpr.TextPersonRetriever',
        encoder=tiny_encoder_cfg(vocab_size=100, context_length=9),
        losses=dict(PAIRS, id=identity),
        temperature=None,
        learn_temperature=True,
    )
    torch.manual_seed(0)
    return MODELS.build(cfg | kwargs).train()


def cross(dropout=0.0, **kwargs):
    """APTM with its contrastive loss, of both captions."""
    pytest.importorskip('transformers', reason='BERT needs [blip2]')
    pytest.importorskip('mmpretrain.models', reason='Swin needs [openmmlab]')
    tiny = tiny_swin_bert_cfg()
    quiet = dict(
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
    )
    cfg = dict(
        type='mmtpr.CrossModalPersonRetriever',
        encoder=tiny_swin_bert_cfg(
            image=dict(tiny['image'], drop_path_rate=dropout),
            text=dict(tiny['text'], **quiet),
        ),
        losses=dict(itc=dict(type='mmtpr.ITCLoss', positives='pid')),
    )
    torch.manual_seed(0)
    return MODELS.build(cfg | kwargs).train()


def batch(number=SIZE):
    torch.manual_seed(1)
    samples, images = [], []
    for i in range(number):
        meta = dict(role='train', pid=i % 3, image_id=i // 2)
        meta['attributes'] = [i % 2, (i // 2) % 2]
        sample = RetrievalDataSample(metainfo=meta)
        sample.tokens = torch.randint(5, 28, (9,))
        sample.mlm_tokens = sample.tokens.clone()
        sample.mlm_tokens[2:4] = 4
        sample.mlm_labels = torch.full((9,), -100)
        sample.mlm_labels[2:4] = sample.tokens[2:4]
        sample.eda_tokens = sample.tokens.roll(1)
        samples.append(sample)
        images.append(torch.randint(0, 255, (3, 64, 32), dtype=torch.uint8))
    return dict(inputs=dict(image=images), data_samples=samples)


def gradients(model, number=SIZE):
    """Losses and gradients of a step."""
    data = model.data_preprocessor(batch(number), True)
    torch.manual_seed(2)
    np.random.seed(2)
    losses = model(**data, mode='loss')
    sum(losses.values()).backward()
    return dict(
        {n: p.grad for n, p in model.named_parameters() if p.requires_grad},
        **{name: value.detach() for name, value in losses.items()},
    )


def check_equal(found, wanted, tolerance=1e-5):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = max(value.abs().max().item(), 1e-2)
        torch.testing.assert_close(
            *(found[name].float(), value.float()),
            atol=tolerance * scale,
            rtol=10 * tolerance,
            msg=lambda text, name=name: f'{name}: {text}',
        )


@pytest.mark.parametrize('parts', [2, 3, 4, 8])
@pytest.mark.parametrize('build', [dual, cross])
def test_gradients_are_those_of_the_whole_batch(build, parts):
    wanted = gradients(build())
    moved = [value for value in wanted.values() if value.abs().max() > 0]
    # A window of one token has nothing to choose from.
    assert len(moved) > 0.9 * len(wanted)
    check_equal(gradients(build(accumulate=parts)), wanted)


def test_parts_that_see_themselves_alone_would_be_another_gradient():
    """The fault this is about: ITC without the pairs of other parts."""
    wanted = gradients(cross())
    model = cross()
    whole = model.data_preprocessor(batch(), True)
    for rows in (slice(0, 4), slice(4, 8)):
        inputs = {
            name: value[rows] if isinstance(value, torch.Tensor) else value
            for name, value in whole['inputs'].items()
        }
        losses = model(inputs, whole['data_samples'][rows], mode='loss')
        (sum(losses.values()) / 2).backward()
    name = 'encoder.image_projection.weight'
    gap = (model.encoder.image_projection.weight.grad - wanted[name]).abs()
    assert gap.max() > 0.05 * wanted[name].abs().max()


@pytest.mark.parametrize('build', [dual, cross])
def test_a_step_of_the_optimizer(build):
    models = build(), build(accumulate=4)
    for model in models:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        log = model.train_step(batch(), OptimWrapper(optimizer=optimizer))
        assert torch.isfinite(log['loss'])
    one, other = (model.state_dict() for model in models)
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=1e-5, rtol=1e-4)


def test_in_mixed_precision():
    with torch.autocast('cpu', torch.bfloat16):
        wanted = gradients(dual())
        found = gradients(dual(accumulate=4))
    exact = gradients(dual())
    # Rows of one batch and of four differ by rounding alone, far less than
    # bfloat16 differs from float32.
    check_equal(found, wanted, tolerance=0.02)
    check_equal(found, exact, tolerance=0.1)


def test_the_encoder_meets_one_part_at_a_time(monkeypatch):
    model = dual(accumulate=4)
    rows, plain = [], model.encoder.encode_image

    def counted(images, *args, **kwargs):
        rows.append(len(images))
        return plain(images, *args, **kwargs)

    monkeypatch.setattr(model.encoder, 'encode_image', counted)
    gradients(model)
    assert rows == [2] * 8  # each part forward, and again to go backward


def test_nothing_of_a_part_is_held_but_its_features():
    """Saved for the backward pass: less than one part without parts."""

    def saved(model):
        data = model.data_preprocessor(batch(), True)
        held = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return tensor

        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        own |= {x.data_ptr() for x in (data['inputs']['image'],)}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            model(**data, mode='loss')
        return sum(size for key, size in held.items() if key not in own)

    assert saved(dual(accumulate=4)) < saved(dual()) / 20


class Largest(TorchDispatchMode):
    """Keeps the number of images in the largest float copy of a batch."""

    def __init__(self):
        super().__init__()
        self.images = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if not isinstance(value, torch.Tensor):
                continue
            if value.is_floating_point() and value.shape[1:] == (3, 64, 32):
                self.images = max(self.images, len(value))
        return out


@pytest.mark.parametrize('build', [dual, cross])
def test_images_are_normalised_part_by_part(build):
    """Of 4 parts, 2 images are floats at a time; all bits are the same."""
    found = []
    for leaves_bytes, most in ((True, 2), (False, SIZE)):
        model = build(accumulate=4)
        assert model.data_preprocessor.leaves_bytes
        model.data_preprocessor.leaves_bytes = leaves_bytes
        with Largest() as largest:
            found.append(gradients(model))
        assert largest.images == most
    for name, value in found[1].items():
        assert torch.equal(found[0][name], value), name
    assert not build().data_preprocessor.leaves_bytes


def test_other_preprocessors_normalise_as_they_do():
    """One of somebody else, who knows nothing of parts."""

    class Halves(BaseDataPreprocessor):
        def forward(self, data, training=False):
            found = RetrievalDataPreprocessor()(data, training)
            found['inputs']['image'] = found['inputs']['image'] / 2
            return found

    wanted = gradients(dual(data_preprocessor=Halves()))
    parts = dual(accumulate=4, data_preprocessor=Halves())
    check_equal(gradients(parts), wanted)


def test_what_is_drawn_is_drawn_again(tmp_path, monkeypatch):
    """Dropout, negatives of ITM, sentences of attributes (NumPy)."""
    attributes = dict(
        type='mmtpr.AttributePromptLoss',
        prompts=[('a man', 'a woman'), ('a red shirt', 'a blue shirt')],
        vocab=write_tiny_vocab(tmp_path / 'vocab.txt'),
        num_matched=1,
    )
    losses = dict(
        itc=dict(type='mmtpr.ITCLoss', positives='pid'),
        itm=dict(type='mmtpr.ITMLoss'),
        mlm=dict(type='mmtpr.CrossModalMLMLoss'),
        attributes=attributes,
    )
    model = cross(dropout=0.2, losses=losses, accumulate=4)
    twin = copy.deepcopy(model)
    found = gradients(model)
    assert 'loss_itm_eda' in found
    monkeypatch.setattr(
        accumulation, 'checkpoint', lambda run, *args, **_: run(*args)
    )
    check_equal(found, gradients(twin))


def test_single_losses_are_the_mean_of_the_parts():
    """Of parts of unequal size, each by its share."""
    for build, name in ((dual, 'loss_id'), (cross, 'loss_mlm')):
        kwargs = {}
        if build is cross:
            kwargs['losses'] = dict(
                mlm=dict(type='mmtpr.CrossModalMLMLoss'),
                itc=dict(type='mmtpr.ITCLoss'),
            )
        whole = gradients(build(**kwargs), number=7)
        parts = gradients(build(accumulate=3, **kwargs), number=7)
        torch.testing.assert_close(parts[name], whole[name])


@pytest.mark.parametrize('shape', [(), (1,)])
def test_a_temperature_may_have_a_dimension(shape):
    """As logit_scale of some models of open_clip; ITM draws by it."""
    found = []
    for parts in (1, 4):
        model = cross(
            losses=dict(itm=dict(type='mmtpr.ITMLoss')), accumulate=parts
        )
        start = model.encoder.temperature.detach().view(shape)
        model.encoder.temperature = nn.Parameter(start)
        found.append(gradients(model)['loss_itm'])
    # Negatives are drawn within a part, so that the two differ.
    assert all(torch.isfinite(value) and value > 0 for value in found)


def test_a_batch_smaller_than_the_number_of_parts():
    check_equal(gradients(dual(accumulate=8), 3), gradients(dual(), 3))


def test_without_gradient():
    model = dual(accumulate=4)
    data = model.data_preprocessor(batch(), True)
    with torch.no_grad():
        losses = model(**data, mode='loss')
    assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize('value', [0, 2.5, True])
def test_wrong_numbers_of_parts(value):
    with pytest.raises(ValueError, match='accumulate must be at least 1'):
        dual(accumulate=value)


def test_batch_norms_are_told_of(monkeypatch):
    lines = []
    monkeypatch.setattr(accumulation, 'warn', lines.append)
    encoder = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert accumulation.check_accumulate(1, encoder) == 1
    assert not lines
    accumulation.check_accumulate(2, encoder)
    assert 'accumulate=2 with 1 batch norms' in lines[0]


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_in_mixed_precision_through_the_runner(
    dtype, repo_root, run_together, tmp_path
):
    device = pytest.importorskip('mmtpr.testing.pretended_gpu')
    if not device.is_available():
        pytest.skip('this torch cannot be told of a pretended GPU')
    worker = repo_root / 'tests/helpers/accumulation_runner.py'
    config = repo_root / 'configs/irra_cuhk.py'
    run_together([worker, config, tmp_path, dtype])
    one, other = json.loads((tmp_path / 'losses.json').read_text())
    assert len(one) == len(other) >= 2
    assert other == pytest.approx(one, rel=0.03)
