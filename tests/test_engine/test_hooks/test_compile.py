"""Compiled losses: one graph, any batch, the gradients of before.

The backends here make no machine code, so that no C++ compiler is needed.
"""

import logging
from types import SimpleNamespace

import loss_steps
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.utils.data import Dataset

from mmtpr.engine import CompileHook
from mmtpr.engine.hooks.compile import compile_batches, find_losses
from mmtpr.engine.required_hooks import use_compile_hook
from mmtpr.models.adapters import AdapterModel
from mmtpr.utils.errors import LaunchError

NEEDED = dict(
    cross=('transformers', 'mmpretrain.models'), blip2=('transformers',)
)


@pytest.fixture(params=loss_steps.KINDS)
def kind(request):
    for module in NEEDED.get(request.param, ()):
        pytest.importorskip(module)
    torch._dynamo.reset()
    yield request.param
    torch._dynamo.reset()


def prepared(model, kind, number, **kwargs):
    data = loss_steps.batch(kind, number, **kwargs)
    return model.loss_inputs(**model.data_preprocessor(data, True))


def test_one_graph_serves_all_batches(kind, tmp_path):
    """Whatever the samples, identities, hidden words and caption lengths."""
    model = loss_steps.build(kind, tmp_path)
    counter = CompileCounter()
    compiled = compile_batches(model.compute_losses, dict(backend=counter))
    for number, pid, hidden in ((4, 0, 2), (6, 1, 3), (5, 40, 1), (3, 2, 2)):
        compiled(prepared(model, kind, number, pid=pid, hidden=hidden))
    assert counter.frame_count == 1


def test_losses_and_gradients_are_those_without(kind, tmp_path):
    """And a step is one graph: with ``fullgraph`` a break is an error."""
    model = loss_steps.build(kind, tmp_path)
    for module in model.modules():  # the two draw from different streams
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if hasattr(model, 'head') and model.head is not None:
        model.head.noise, model.head.mfr_weight = None, 0
        model.head.reasoning, model.head.fd_weight = None, 0
    ready = prepared(model, kind, 4)
    found = []
    options = dict(backend='aot_eager', fullgraph=True)
    compiled = compile_batches(model.compute_losses, options)
    for function in (model.compute_losses, compiled):
        torch.manual_seed(3)
        losses = function(ready)
        sum(v for k, v in losses.items() if 'loss' in k).backward()
        named = model.named_parameters()
        found.append({n: p.grad for n, p in named if p.grad is not None})
        found[-1].update({k: v.detach() for k, v in losses.items()})
        model.zero_grad(set_to_none=True)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_a_batch_in_parts(tmp_path):
    """Compiled and not, in parts of several sizes: one graph for each use."""
    losses = dict(
        sdm=loss_steps.SDM, id=dict(type='mmtpr.IDLoss', num_classes=60)
    )
    options = dict(accumulate=2, losses=losses)
    model = loss_steps.build('text', tmp_path, **options)
    plain = model._views, model._losses
    ready = [prepared(model, 'text', number) for number in (6, 8, 7)]

    def steps():
        found = []
        for data in ready:
            computed = model.compute_losses(data)
            sum(computed.values()).backward()
            found.append({k: v.detach() for k, v in computed.items()})
            named = model.named_parameters()
            found[-1].update(
                {n: p.grad for n, p in named if p.grad is not None}
            )
            model.zero_grad(set_to_none=True)
        return found

    wanted = steps()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    hook = CompileHook(backend='aot_eager', fullgraph=True)
    hook.before_train(SimpleNamespace(model=model, logger=logging.getLogger()))
    assert model._views != plain[0]
    torch.testing.assert_close(steps(), wanted, rtol=1e-4, atol=1e-5)
    # A part encoded, its identities, the pairs of the whole batch.
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 3
    hook.after_train(None)
    assert (model._views, model._losses) == plain
    torch._dynamo.reset()


class Points(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        x = torch.randn(6, generator=torch.manual_seed(index))
        return dict(inputs=x, labels=int(x[0] > 0))


class Plain(BaseModel):
    """A model without ``compute_losses``."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(self, inputs, labels, mode='tensor'):
        scores = self.fc(inputs)
        if mode != 'loss':
            return scores
        return dict(loss=nn.functional.cross_entropy(scores, labels))


def test_the_runner_trains_with_groups_of_parameters(tmp_path):
    """``cfg.compile`` of mmengine fails in the optimizer then."""
    cfg = Config(dict(compile=dict(backend='aot_eager')))
    use_compile_hook(cfg)
    assert 'compile' not in cfg
    model = Plain()
    runner = Runner(
        model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=Points(),
            batch_size=3,  # the last has two
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.05, weight_decay=0.1),
            paramwise_cfg=dict(bias_decay_mult=0.0),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        custom_hooks=cfg.custom_hooks,
        experiment_name=f'compile_{tmp_path.name}',
    )
    seen = []
    plain = model.forward
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    runner.register_hook(_Seen(seen))
    runner.train()
    logging.getLogger('mmengine').handlers.clear()
    assert seen == [True]
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 1
    assert model.forward == plain  # its life ends with the training


class _Seen(CompileHook):
    """Tells whether the forward is replaced while training goes on."""

    def __init__(self, seen):
        self._seen = seen

    def before_train(self, runner):
        pass

    def after_train(self, runner):
        pass

    def before_train_epoch(self, runner):
        if runner.epoch == 0:
            self._seen.append('forward' in vars(runner.model))


def test_losses_inside_adapters_are_found(tmp_path):
    inner = loss_steps.build('text', tmp_path)
    model = AdapterModel(
        inner,
        adapter=dict(type='LoRA', rank=2),
        targets=[dict(type=r'.*\.mlp\.c_fc')],
    )
    assert find_losses(model) == (inner, ('compute_losses',))
    plain = Plain()
    assert find_losses(plain) == (plain, ('forward',))


@pytest.mark.parametrize('value', [None, False])
def test_nothing_is_compiled_unasked(value):
    cfg = Config(dict(compile=value))
    use_compile_hook(cfg)
    assert 'custom_hooks' not in cfg


def test_mistakes_are_told_before_the_training():
    with pytest.raises(LaunchError, match='compile='):
        use_compile_hook(Config(dict(compile='inductor')))
    with pytest.raises(TypeError, match='backends'):
        CompileHook(backends='eager')


def test_a_hook_of_the_config_stays():
    hooks = [ConfigDict(type='mmtpr.CompileHook', backend='eager')]
    cfg = Config(dict(compile=True, custom_hooks=hooks))
    with pytest.raises(LaunchError, match='both'):
        use_compile_hook(cfg)
