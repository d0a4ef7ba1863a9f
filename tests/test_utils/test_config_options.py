"""--cfg-options: what mmengine reads, and lists of dicts."""

import argparse

import pytest
from mmengine.config import Config, DictAction

from mmtpr.utils.config_options import ConfigOptions, check_option_paths
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import add_config_options

NESTED = [dict(type='linear', names=['q', 'v'], on=True, rate=None)]


def read(*words):
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    return parser.parse_args(['--cfg-options', *words]).cfg_options


@pytest.mark.parametrize(
    'text',
    [
        '3',
        '1e-3',
        'true',
        'None',
        'a',
        'a,b',
        '[a,b]',
        '[1,2.5]',
        '(1,2)',
        '[(1,2),[a,b],c]',
        '"[1,2]"',
        'epoch_{}.pth',
        "'a'",
        '[1]',
        '-2',
    ],
)
def test_as_mmengine_does(text):
    assert ConfigOptions.parse(text) == DictAction._parse_iterable(text)


@pytest.mark.parametrize(
    'text',
    [
        '[{"type": "linear", "names": ["q", "v"], "on": true, "rate": null}]',
        "[{'type': 'linear', 'names': ['q', 'v'], 'on': True, 'rate': None}]",
    ],
)
def test_lists_of_dicts(text):
    assert read(f'model.targets={text}') == {'model.targets': NESTED}
    cfg = Config(dict(model=dict(targets=[dict(type='b'), 1], other=1)))
    cfg.merge_from_dict(read(f'model.targets={text}'))
    assert cfg.model.targets == NESTED
    assert cfg.model.other == 1


def test_a_dict_replaces_or_joins():
    cfg = Config(dict(model=dict(a=1)))
    cfg.merge_from_dict(read('model={"b": 2}'))
    assert cfg.model == dict(a=1, b=2)
    cfg.merge_from_dict(read('model={"_delete_": true, "c": 3}'))
    assert cfg.model == dict(c=3)


def test_texts_keep_their_spaces():
    assert read('a=a man in red', 'b=x = y') == {
        'a': 'a man in red',
        'b': 'x = y',
    }


@pytest.mark.parametrize(
    ('word', 'match'),
    [
        ('model.encoder', '"model.encoder" is no KEY=VALUE'),
        ('=3', '"=3" is no KEY=VALUE'),
        ('a=[1,2', 'a: the brackets of "[1,2" do not match'),
        ('a=[dict(b=1,c=2)]', '"[dict(b=1,c=2)]" is no list of values'),
        ('a=[{b:1}]', 'a: "[{b:1}]" is neither JSON nor a Python literal'),
    ],
)
def test_what_is_none(word, match, capsys):
    with pytest.raises(SystemExit) as end:
        read(word)
    assert end.value.code == 2
    assert match in capsys.readouterr().err


CONFIG = Config(
    dict(a=dict(b=1, text='x'), steps=[dict(end=1), dict(end=2)], pair=(1, 2))
)


@pytest.mark.parametrize(
    ('key', 'value', 'match'),
    [
        ('steps.end', 3, '"steps" is a list of 2, without "end"; .*steps.0'),
        ('steps.2.end', 3, '"steps" is a list of 2, without "2"'),
        ('steps', dict(end=3), '"steps" is a list of 2, without "end"'),
        ('pair.0', 3, '"pair" is a tuple; give it as a whole'),
        ('a.b.c', 3, '"a.b" is 1, which has no "c" in it'),
        ('a.text.c', 3, '"a.text" is \'x\', which has no'),
        ('a.b', dict(c=1), '"a.b" is 1, which has no "c"'),
    ],
)
def test_keys_that_lead_nowhere(key, value, match):
    with pytest.raises(LaunchError, match=f'--cfg-options {key}: {match}'):
        check_option_paths({key: value}, CONFIG, '--cfg-options')


def test_keys_that_lead_into_a_config():
    options = {
        'steps.1.end': 3,
        'steps': {'0': dict(end=3)},
        'a.new.key': 1,
        'a.b': 2,
        'a': dict(_delete_=True, c=1),
        'new.a.b': 1,
    }
    check_option_paths(options, CONFIG, '--cfg-options')
    for key, value in options.items():
        CONFIG.copy().merge_from_dict({key: value})
