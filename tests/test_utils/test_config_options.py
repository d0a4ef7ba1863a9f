"""--cfg-options: what mmengine reads, and lists of dicts."""

import argparse

import pytest
from mmengine.config import Config, DictAction

from mmtpr.utils.config_options import ConfigOptions
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
        ('a=[{b:1}]', 'a: "[{b:1}]" is neither JSON nor a Python literal'),
    ],
)
def test_what_is_none(word, match, capsys):
    with pytest.raises(SystemExit) as end:
        read(word)
    assert end.value.code == 2
    assert match in capsys.readouterr().err
