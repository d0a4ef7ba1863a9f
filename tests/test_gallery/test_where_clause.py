"""Filters as text."""

import pytest

from mmtpr.gallery.where_clause import (
    Comparison,
    Junction,
    Membership,
    Negation,
    WhereError,
    parse_where,
)

A, B = Comparison('a', '==', 1), Comparison('b', '>=', -2.5)


@pytest.mark.parametrize(
    ('text', 'wanted'),
    [
        ('a == 1', A),
        ('a=1', A),
        ('b>=-2.5', B),
        ('a <> 1', Comparison('a', '!=', 1)),
        ("t > '2024-05-01'", Comparison('t', '>', '2024-05-01')),
        ("t == 'it''s'", Comparison('t', '==', "it's")),
        ('`größe in cm` < 1e2', Comparison('größe in cm', '<', 100.0)),
        ('größe < 7', Comparison('größe', '<', 7)),
        ('seen == TRUE', Comparison('seen', '==', True)),
        ('a in (1, 2)', Membership('a', (1, 2))),
        ('a not in ["x"]', Negation(Membership('a', ('x',)))),
        ('a == 1 and b >= -2.5', Junction('and', (A, B))),
        (
            'a == 1 or a == 1 and b >= -2.5',
            Junction('or', (A, Junction('and', (A, B)))),
        ),
        (
            'not (a == 1 or b >= -2.5) AND a == 1',
            Junction('and', (Negation(Junction('or', (A, B))), A)),
        ),
    ],
)
def test_what_is_read(text, wanted):
    assert parse_where(text) == wanted


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('', 'at character 1: expected the name of a column, found the end'),
        ('camera', 'expected a comparison .*, found the end'),
        ('camera = = 3', r'at character 10: expected a number.*found "="'),
        ('3 == camera', 'expected the name of a column, found "3"'),
        ('a == b', 'expected a number, a text in quotes.*found "b"'),
        ('a == 1 b == 2', '"and", "or" or the end, found "b"'),
        ('(a == 1', r'expected "\)", found the end'),
        ('a in ()', 'expected a number'),
        ('a in 1', r'expected "\(", found "1"'),
        ('a not 1', '"in" after "not"'),
        ("a == 'x", '"\'" has no meaning here'),
        ('a == 1; b == 2', "';' has no meaning"),
        ('a < 1e999', 'a number below 1.8e308, found "1e999"'),
        ('a == ' + '9' * 5000, 'a number below 1.8e308'),
        ('a == 12abc', "'1' has no meaning"),
        ("__import__('os').system('true')", r"'\.' has no meaning"),
        ('[x for x in y]', 'the name of a column'),
        ('not ' * 60 + 'a == 1', 'more than 50'),
        ('(' * 5000 + 'a == 1', 'more than 50'),
        ('a' * 200_000, 'has 200000 characters'),
        (3, 'A filter is a text'),
    ],
)
def test_what_is_refused(text, match):
    with pytest.raises(WhereError, match=match) as caught:
        parse_where(text)
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 400
