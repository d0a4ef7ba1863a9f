import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from mmtpr.synthesis import ProceduralWorld, sample_identities
from mmtpr.synthesis.captions import MENTION, CaptionWriter


@pytest.fixture(scope='module')
def people():
    return sample_identities(300)


def test_captions_are_deterministic_and_varied(people):
    world = ProceduralWorld(seed=5)
    texts = [world.describe(person, 0) for person in people]
    assert texts == [ProceduralWorld(seed=5).describe(p, 0) for p in people]
    assert len(set(texts)) > 295
    of_one = {world.describe(people[0], 0, index) for index in range(20)}
    assert len(of_one) >= 18


def test_captions_look_like_sentences(people):
    for person in people:
        text = ProceduralWorld().describe(person, 1)
        assert text[0].isupper()
        assert text.endswith('.')
        for ugly in ('  ', ' .', 'none', ' ,', ' a a', ' a o', ' a u'):
            assert ugly not in text.replace(' a umbrella', ''), text


def test_captions_leave_out_some_attributes(people):
    planned = [
        CaptionWriter(person, np.random.default_rng(i)).mentioned
        for i, person in enumerate(people)
    ]
    shoes = np.mean(['shoes_colour' in names for names in planned])
    assert abs(shoes - MENTION['shoes_colour']) < 0.08
    assert shoes < 0.95
    assert min(len(names) for names in planned) >= 4


def test_mentioned_attributes_appear_in_the_text(people):
    plain = {'red', 'green', 'yellow', 'orange', 'black', 'brown'}
    for i, person in enumerate(people):
        writer = CaptionWriter(person, np.random.default_rng(i))
        text = writer.write(person)
        if 'top_colour' in writer.mentioned and person.top_colour in plain:
            assert person.top_colour in text
        if person.bag == 'none':
            assert 'bag' not in text
            assert 'backpack' not in text


def test_errors_change_the_text(people):
    world = ProceduralWorld()
    for count in (1, 3):
        wrong = [world.describe(p, 0, errors=count) for p in people]
        right = [world.describe(p, 0) for p in people]
        assert all(w != r for w, r in zip(wrong, right, strict=True))


def test_captions_fit_the_context_of_the_demo(people):
    tokenizer = SimpleTokenizer()
    world = ProceduralWorld()
    lengths = [len(tokenizer.encode(world.describe(p, 0))) for p in people]
    assert max(lengths) + 2 <= 48
