"""Other words for a caption."""

import numpy as np
import pytest

from mmtpr.synthesis import reword, sample_identities
from mmtpr.synthesis.captions import CaptionWriter


@pytest.mark.parametrize(
    ('sentence', 'never', 'sometimes'),
    [
        ('A man with red hair.', ['ginger hair hair'], ['ginger hair']),
        # Of clothes red is no ginger, and black not dark.
        ('A man in a red top, with black shoes.', ['ginger', 'dark'], ['guy']),
        ('The lady has fair hair.', ['lady lady'], ['blond hair', 'woman']),
        ('A person in a short sleeved top.', ['sleeved upper'], ['t-shirt']),
        ('A man wears a coat.', ['wearing wears'], ['is wearing', 'has on']),
        ('A man in an open jacket.', ['an jacket'], ['a jacket']),
    ],
)
def test_words_of_the_same_meaning(sentence, never, sometimes):
    text = '\n'.join(reword(sentence, 30))
    assert not [word for word in never if word in text]
    assert all(word in text for word in sometimes)


def test_they_differ_and_are_the_same_each_time():
    sentence = 'A woman wears a grey coat, trousers and a handbag.'
    found = reword(sentence, 8)
    assert len({*found, sentence}) == 9
    assert found == reword(sentence, 8)
    assert found != reword(sentence, 8, seed=1)
    assert reword('Nothing of it.') == []


def test_it_speaks_the_language_of_the_captions():
    """Each word of a paraphrase is one that captions have."""
    rng = np.random.default_rng(0)
    captions = [
        CaptionWriter(identity, rng).write(identity)
        for identity in sample_identities(2000, 0)
    ]

    def words(texts):
        text = ' '.join(texts).lower()
        return {word.strip('.,') for word in text.split()}

    said = [text for caption in captions[:60] for text in reword(caption)]
    assert len(said) > 250
    assert words(said) <= words(captions)
