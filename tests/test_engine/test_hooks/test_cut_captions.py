"""Captions that training does not see whole."""

import logging

import pytest

from mmtpr.engine import CutCaptionsHook
from mmtpr.engine.hooks import cut_captions
from mmtpr.structures import RetrievalDataSample


@pytest.fixture
def said(monkeypatch):
    lines = []

    def note(line, logger, level):
        lines.append((line, level))

    monkeypatch.setattr(cut_captions, 'print_log', note)
    return lines


def batch(*flags):
    samples = [
        RetrievalDataSample(metainfo=dict(caption_cut=f)) for f in flags
    ]
    return dict(inputs={}, data_samples=[*samples, RetrievalDataSample()])


def test_counted_until_the_iteration_and_told_once(said):
    hook = CutCaptionsHook(iterations=3)
    for number in range(5):
        hook.after_train_iter(None, number, batch(True, False))
    hook.after_train_epoch(None)
    ((line, level),) = said
    assert line.startswith('3 of 6 captions of the first 3 iterations')
    assert level == logging.WARNING


def test_a_short_epoch_and_few_cut_captions(said):
    hook = CutCaptionsHook()
    hook.after_train_iter(None, 0, batch(*[False] * 199, True))
    assert not said
    hook.after_train_epoch(None)
    ((line, level),) = said
    assert line.startswith('1 of 200 captions')
    assert level == logging.INFO


@pytest.mark.parametrize('data', [None, dict(), batch(False), [1], 'x'])
def test_nothing_to_tell(said, data):
    hook = CutCaptionsHook(iterations=1)
    hook.after_train_iter(None, 0, data)
    assert said == []
