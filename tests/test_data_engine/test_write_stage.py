"""Quadruples: what is asked for, checked and dropped."""

import json
from collections import Counter

import pytest

from mmtpr.data_engine import (
    GrammarWriter,
    QuadrupleCheck,
    StageFolder,
    WriteStage,
    run_stage,
)
from mmtpr.data_engine.metadata import sample_metadata
from mmtpr.data_engine.writers import Answer, Quadruple, QuadrupleWriter
from mmtpr.data_engine.writers.quadruple import parse_quadruple
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.warn import heard_warnings

COLOURS = ('red', 'green', 'grey', 'white', 'yellow')
LISTS = dict(gender=['man', 'woman'], age=['young', 'old', 'middle-aged'])


@pytest.fixture
def place(tmp_path):
    return StageFolder(tmp_path / 'write')


def test_metadata_are_even_and_do_not_move():
    drawn = [sample_metadata(LISTS, i, 3) for i in range(60)]
    assert Counter(d['gender'] for d in drawn) == dict(man=30, woman=30)
    pairs = Counter((d['gender'], d['age']) for d in drawn)
    assert len(pairs) == 6
    assert drawn == [sample_metadata(LISTS, i, 3) for i in range(60)]
    assert drawn != [sample_metadata(LISTS, i, 4) for i in range(60)]


def test_the_check_lets_through_what_the_grammar_writes(place):
    """All but captions that do not mention what the sentence speaks of."""
    stage = WriteStage(400, LISTS, GrammarWriter(), block_size=90, attempts=1)
    once = run_stage(stage, StageFolder(place.folder.parent / 'once'))
    assert once.kept > 380
    counts = run_stage(WriteStage(400, LISTS, GrammarWriter()), place)
    assert counts.kept == 400
    for row in place.read_all():
        gender = row['metadata']['gender']
        assert row['spec']['before']['gender'] == gender
        assert row['truth'] == dict(fault='')
        assert row['prompt_version'] == ''


def test_faults_at_their_rates(place):
    faults = dict(wrong_change=0.2, wrong_caption=0.1)
    check = dict(names_difference=False)
    stage = WriteStage(500, LISTS, GrammarWriter(faults), check, block_size=99)
    run_stage(stage, place)
    clean = StageFolder(place.folder.parent / 'clean')
    stage = WriteStage(500, LISTS, GrammarWriter(), check, block_size=99)
    run_stage(stage, clean)
    found = Counter()
    for row, right in zip(place.read_all(), clean.read_all(), strict=True):
        fault = row['truth']['fault']
        found[fault] += 1
        if row['seed'] != right['seed']:  # asked again
            continue
        assert row['spec'] == right['spec']
        assert row['reference_caption'] == right['reference_caption']
        same = row['target_caption'] == right['target_caption']
        assert same == (fault != 'wrong_caption')
        if fault == '':
            assert row['edit'] == right['edit']
    assert found['wrong_change'] == pytest.approx(100, abs=30)
    assert found['wrong_caption'] == pytest.approx(50, abs=25)


GOOD = Quadruple(
    'A young woman in a red coat and black shoes.',
    'A young woman in a blue coat and black shoes.',
    'Wearing a blue coat.',
    'Wearing a red coat.',
)


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        ({}, ''),
        (dict(edit='Coat.'), 'a sentence has not 2 to 40 words'),
        (dict(target_caption='A woman.'), 'a caption has not 5 to 60 words'),
        (
            dict(target_caption='The young woman with red coat, black shoes'),
            'the captions are the same',
        ),
        (
            dict(target_caption='A young man in a blue coat, black shoes.'),
            'the captions are of another gender',
        ),
        (
            dict(edit='Wearing black shoes.'),
            'a sentence names nothing that differs',
        ),
        (
            dict(edit='Wearing a blue coat and black shoes.'),
            'a sentence names what stays the same',
        ),
        (
            dict(reverse_edit='Please smile more.'),
            'a sentence names nothing that differs',
        ),
    ],
)
def test_what_is_wrong_with_a_quadruple(change, problem):
    quadruple = Quadruple(**(GOOD.to_dict() | change))
    assert QuadrupleCheck().problem(quadruple, {}) == problem
    if 'gender' not in problem:
        return
    assert QuadrupleCheck(one_person=False).problem(quadruple, {}) == ''
    told = QuadrupleCheck().problem(GOOD, dict(gender='man'))
    assert told == problem


def test_a_colour_that_something_else_has_too():
    quadruple = Quadruple(
        'A young woman in a red coat and black shoes.',
        'A young woman in a black coat and black shoes.',
        'Wearing a black coat.',
        'Wearing a red coat.',
    )
    assert QuadrupleCheck().problem(quadruple, {}) == ''


def test_the_order_of_fields_decides_what_is_drawn(place):
    other = dict(reversed(LISTS.items()))
    assert any(
        sample_metadata(LISTS, i, 0) != sample_metadata(other, i, 0)
        for i in range(9)
    )
    stages = [WriteStage(9, one, GrammarWriter()) for one in (LISTS, other)]
    place.open('write', stages[0].settings(), (), 1)
    place.open('write', stages[0].settings(), (), 1)
    match = r"metadata_order\[0\]: 'gender' there, 'age' now"
    with pytest.raises(LaunchError, match=match):
        place.open('write', stages[1].settings(), (), 1)


class Repeating(QuadrupleWriter):
    """Five of ten records are those of five others."""

    model = 'repeating'
    silent = ()

    def settings(self):
        return {}

    def answer(self, requests):
        for request in requests:
            was = COLOURS[request.index % 5]
            found = Quadruple(
                f'A young woman in a {was} coat and black shoes.',
                'A young woman in a blue coat and black shoes.',
                'Wearing a blue coat.',
                f'Wearing a {was} coat.',
            )
            answer = Answer(found)
            if request.index in self.silent:
                answer = Answer(None, problem='the server did not answer')
            yield request, answer


def run_repeating(folder, writer=None):
    """Run ten records in five blocks; gives counts and rows that are kept."""
    stage = WriteStage(
        10, dict(scene=['park']), writer or Repeating(), block_size=2
    )
    run_stage(stage, StageFolder(folder))
    folder = StageFolder(folder)
    kept = [row['index'] for row in folder.read_all()]
    return folder.summary, kept


def test_near_duplicates_are_dropped(place):
    summary, kept = run_repeating(place.folder)
    assert kept == [0, 1, 2, 3, 4]
    reason = 'the same as another record but for small words'
    assert summary == dict(rows=10, kept=5, dropped={reason: 5})


def test_a_kill_between_exclusion_and_summary(place):
    """Else the rows left out already hide the duplicates from the count."""
    before = run_repeating(place.folder)
    (place.folder / 'summary.json').unlink()
    assert len(list(StageFolder(place.folder).read_all())) == 10
    assert run_repeating(place.folder) == before


def test_a_block_made_anew_ends_the_stage_anew(place):
    run_repeating(place.folder)
    place.blocks.path(0).write_bytes(b'')
    other = Repeating()
    other.silent = (1,)
    with heard_warnings() as told:
        summary, kept = run_repeating(place.folder, other)
    assert kept == [0, 2, 3, 4, 6]
    assert summary['kept'] == 5
    assert summary['dropped']['the server did not answer'] == 1
    assert '1 of 5 blocks are made anew, e.g. "block-000000' in ' '.join(told)
    # Where nothing is left out any more, no old file says so.
    for block in (0, 2, 3, 4):
        place.blocks.path(block).unlink()
    other.silent = range(10)
    summary, kept = run_repeating(place.folder, other)
    assert (summary['kept'], kept) == (2, [2, 3])
    assert not (place.folder / 'excluded.json').exists()


@pytest.mark.parametrize(
    'raw',
    [
        'no json',
        '[1, 2]',
        json.dumps(dict(GOOD.to_dict(), more='x')),
        json.dumps(dict(GOOD.to_dict(), edit='  ')),
        json.dumps(dict(GOOD.to_dict(), edit=None)),
    ],
)
def test_answers_that_are_none(raw):
    assert parse_quadruple(raw) is None
    assert parse_quadruple(json.dumps(GOOD.to_dict())) == GOOD


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(num=0), 'write.num must be'),
        (dict(attempts=1.5), 'write.attempts must be'),
        (dict(seed=-1), 'write.seed must be .* at least 0, got -1'),
        (dict(seed='1'), "write.seed must be .* got '1'"),
        (dict(check=dict(caption_words=5)), 'caption_words must be the few'),
        (dict(check=dict(edit_words=(9, 2))), r'edit_words\[1\] .* 9, got 2'),
        (dict(metadata=['age']), r"metadata must be a dict .* got \['age'\]"),
        (dict(metadata=dict(age='old')), 'metadata.age must be a list'),
        (dict(metadata=dict(age=[])), 'metadata.age must be a list'),
    ],
)
def test_settings_of_no_sense(change, match):
    good = dict(num=3, metadata=LISTS, writer=GrammarWriter())
    with pytest.raises(ValueError, match=match):
        WriteStage(**(good | change))


@pytest.mark.parametrize(
    ('faults', 'match'),
    [
        (dict(typo=0.1), 'There is no fault "typo"'),
        (dict(wrong_change=1.2), 'must be from 0 to 1'),
        (dict(wrong_change=0.7, wrong_caption=0.7), 'sum to 1.4'),
    ],
)
def test_rates_of_no_sense(faults, match):
    with pytest.raises(ValueError, match=match):
        GrammarWriter(faults)


def test_the_local_model_answers_one_by_one(place, tmp_path, monkeypatch):
    """A tiny model of random weights; one answer is put into its mouth."""
    transformers = pytest.importorskip('transformers')
    from tiny_chat import write_tiny_chat_model

    from mmtpr.data_engine import TransformersWriter

    folder = write_tiny_chat_model(tmp_path / 'model')
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    writer = TransformersWriter(
        str(folder), max_tokens=24, dtype='float32', device='cpu'
    )
    stage = WriteStage(4, LISTS, writer, attempts=2, block_size=4)
    counts = run_stage(stage, place)
    reason = 'the answer is no object of the schema'
    assert counts.dropped == {reason: 4}
    raws = [row['raw'] for row in place.read_all(dropped=True)]
    assert len(set(raws)) == 4
    # The same alone as beside others.
    (row,) = list(stage.process(stage.items(0)[2:3]))
    assert row['raw'] == raws[2]

    tokenizer = writer._parts[0]
    answer = tokenizer(json.dumps(GOOD.to_dict()), return_tensors='pt')

    def answers(self, input_ids, **kwargs):
        import torch

        return torch.cat([input_ids, answer['input_ids']], 1)

    kind = type(writer._parts[1])
    monkeypatch.setattr(kind, 'generate', answers)
    rows = list(stage.process(stage.items(0)[:1]))
    assert [row['edit'] for row in rows] == [GOOD.edit]
    assert transformers


def test_a_model_that_is_not_there(place):
    pytest.importorskip('transformers')
    from mmtpr.data_engine import TransformersWriter

    writer = TransformersWriter('/nowhere/model')
    with pytest.raises(LaunchError, match='"/nowhere/model" cannot be loaded'):
        run_stage(WriteStage(2, LISTS, writer), place)
