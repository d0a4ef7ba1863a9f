from dataclasses import replace

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from mmtpr.synthesis import SAMPLE_SENTENCES, sample_identities
from mmtpr.synthesis.captions import WORDS
from mmtpr.synthesis.changes import ITEMS, Change, ChangeWriter, change_outfit
from mmtpr.synthesis.vocabulary import write_vocabulary

PEOPLE = sample_identities(300, seed=5)


def changed(person, seed=0):
    rng = np.random.default_rng([seed, person.number])
    after, changes = change_outfit(person, rng)
    return after, changes, ChangeWriter(person, rng).tell(after, changes)


def words_of(name, value):
    """How a value may be worded; nothing where there is no item."""
    if value in ('', 'none'):
        return []
    key = f'{value} hair' if name == 'hair_colour' else value
    options = [*WORDS.get(key, []), value]
    return [*options, 'jeans'] if value in ('trousers', 'blue') else options


def says(text, name, value):
    padded = f' {text.lower().rstrip(".").replace(",", "")} '
    return any(f' {word} ' in padded for word in words_of(name, value))


@pytest.mark.parametrize('seed', [0, 1])
def test_exactly_what_is_announced_differs(seed):
    kinds, counts = set(), set()
    for person in PEOPLE:
        after, changes, _ = changed(person, seed)
        announced = {n for change in changes for n in change.names}
        differ = {
            name
            for name in person.__dataclass_fields__
            if getattr(person, name) != getattr(after, name)
        }
        assert differ == announced
        assert (after.gender, after.bottom) != ('man', 'skirt')
        assert (after.hat == 'none') == (after.hat_colour == '')
        assert (after.bag == 'none') == (after.bag_colour == '')
        kinds |= {(change.kind, change.item) for change in changes}
        counts.add(len(changes))
    assert counts == {1, 2, 3}
    assert {('replace', item) for item in ITEMS} <= kinds
    for item in ('hat', 'bag'):
        assert {('add', item), ('remove', item)} <= kinds


def test_a_sentence_tells_the_new_values_and_nothing_that_stays():
    for person in PEOPLE:
        after, changes, text = changed(person)
        for change in changes:
            if change.kind == 'remove':
                kind = getattr(person, change.item)
                assert says(text, change.item, kind), text
                continue
            for name in change.names:
                assert says(text, name, getattr(after, name)), text
        touched = {change.item for change in changes}
        for item in ('hat', 'bag', 'top', 'bottom'):
            if item not in touched:
                value = getattr(person, item)
                assert not says(text, item, value), (text, value)
        named = {
            getattr(who, f'{change.item}_colour')
            for who in (person, after)
            for change in changes
            if f'{change.item}_colour' in change.names
        }
        for colour in {'red', 'green', 'yellow', 'pink', 'orange'} - named:
            assert not says(text, 'top_colour', colour), (text, colour)


def test_sentences_differ_in_words_and_are_repeatable():
    person = PEOPLE[0]
    after = replace(person, top='coat', top_colour='red')
    change = [Change('top', 'replace', ('top', 'top_colour'))]
    texts = [
        ChangeWriter(person, np.random.default_rng(i)).tell(after, change)
        for i in range(40)
    ]
    again = ChangeWriter(person, np.random.default_rng(3))
    assert again.tell(after, change) == texts[3]
    assert len({text.split(' red ')[0] for text in texts}) > 8
    assert all('red' in text and 'coat' in text for text in texts)


def test_the_way_back():
    change = Change('hat', 'add', ('hat', 'hat_colour'))
    assert change.reversed().kind == 'remove'
    assert change.reversed().reversed() == change


def test_sample_sentences_hold_all_words(tmp_path):
    """A vocabulary of these and of captions splits no sentence."""
    captions = [word for words in WORDS.values() for word in words]
    captions += [v for p in PEOPLE for v in p.attributes] + ['jeans', 'pair']
    write_vocabulary([*captions, *SAMPLE_SENTENCES], tmp_path / 'v.txt.gz')
    small = SimpleTokenizer(bpe_path=str(tmp_path / 'v.txt.gz'))
    full = SimpleTokenizer()
    assert small.vocab_size < 1024
    lengths = []
    for person in PEOPLE:
        text = changed(person)[2]
        lengths.append(len(full.encode(text)))
        assert len(small.encode(text)) == lengths[-1], text
    assert len(small.encode('a photo of')) == 3
    assert max(lengths) <= 33  # 40 less the template and both ends
