"""Terms of a rule over fields."""

from mmtpr.filtering.field_rule import parse_rule


def test_a_term_is_told_with_all_its_digits():
    terms = parse_rule(
        [
            dict(field='a.b', min=0.9999991, max=4),
            dict(field='a.b', min=0.9999994),
            dict(field='a.b', keep=0.07),
        ]
    )
    assert [str(term) for term in terms] == [
        'a.b >= 0.9999991 and <= 4',
        'a.b >= 0.9999994',
        'a.b best 7 % (high)',
    ]
