"""Key maps in general."""

import pytest
import torch

from mmtpr.converters import KeyMap, Rule, prefixed, same_names

RULES = [
    Rule('block.{i}.w{j}', 'b{i}.{j}.weight'),
    Rule('twin.{i}.{i}', 'pair.{i}'),
    Rule('turn.{p}', 'turned.{p}', torch.t, torch.t),
    *same_names('same.{rest}', target='ours.'),
]
MAP = KeyMap(
    'theirs',
    'ours',
    RULES,
    {'mask.{i}': 'computed'},
    {'loss.{rest}': 'not theirs'},
)


def test_both_ways():
    state = {
        'block.12.w3': torch.randn(2),
        'twin.4.4': torch.randn(3),
        'turn.weight': torch.randn(2, 5),
        'same.a.b': torch.randn(1),
        'mask.0': torch.zeros(1),
    }
    there = MAP(state)
    assert set(there.state) == {
        'b12.3.weight',
        'pair.4',
        'turned.weight',
        'ours.same.a.b',
    }
    assert there.ignored == {'mask.0': 'computed'}
    assert there.state['turned.weight'].shape == (5, 2)
    back = MAP.inverse()({**there.state, 'loss.id.w': torch.zeros(1)})
    assert back.ignored == {'loss.id.w': 'not theirs'}
    del state['mask.0']
    assert set(back.state) == set(state)
    assert all(torch.equal(back.state[k], v) for k, v in state.items())


@pytest.mark.parametrize(
    'key', ['twin.1.2', 'block.x.w3', 'turn.a.b', 'mask.a', 'same.']
)
def test_a_key_without_a_rule_stops(key):
    with pytest.raises(ValueError, match='1 keys belong to no part of theirs'):
        MAP({key: torch.zeros(1)})


def test_further_keys_are_left_out_when_asked():
    state = {'odd.1': torch.zeros(1), 'same.a': torch.zeros(1)}
    done = MAP(state, r'odd\..*')
    assert done.ignored == {'odd.1': r'asked for by "odd\..*"'}
    with pytest.raises(ValueError, match=r'e\.g\. odd\.1\. .*--ignore'):
        MAP(state, 'odd')


def test_two_keys_that_become_one_stop():
    rules = [Rule('a', 'c'), Rule('b', 'c')]
    with pytest.raises(ValueError, match='"a" and "b" of x both become "c"'):
        KeyMap('x', 'y', rules)({'a': torch.ones(1), 'b': torch.ones(1)})


def test_half_precision_becomes_float32_and_numbers_stay():
    state = {'same.a': torch.ones(2).half(), 'same.b': torch.arange(2)}
    done = MAP(state).state
    assert done['ours.same.a'].dtype == torch.float32
    assert done['ours.same.b'].dtype == torch.int64


def test_rules_of_a_part():
    rules = prefixed([Rule('a.{i}', 'b.{i}')], 'x.', 'y.z.')
    done = KeyMap('x', 'y', rules)({'x.a.0': torch.ones(1)})
    assert list(done.state) == ['y.z.b.0']
