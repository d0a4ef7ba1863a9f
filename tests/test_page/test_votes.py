"""Votes are kept."""

import errno
import json
import os
import threading
from datetime import datetime, timezone

import pytest

from mmtpr.page import VoteFile
from mmtpr.utils.errors import LaunchError


def rows(path):
    return [json.loads(line) for line in path.read_text('utf-8').splitlines()]


def test_votes_are_added(tmp_path):
    path = tmp_path / 'new folder/votes.jsonl'
    before = datetime.now(timezone.utc)
    VoteFile(path).add(dict(query='ä\n人', vote=1))
    VoteFile(path).add(dict(query='b', vote=-1))
    first, second = rows(path)
    assert (first['query'], second['vote']) == ('ä\n人', -1)
    time = datetime.fromisoformat(first['time'])
    assert abs((time - before).total_seconds()) < 3600
    assert time.utcoffset().total_seconds() == 0


def test_many_at_once(tmp_path):
    path = tmp_path / 'votes.jsonl'
    files = [VoteFile(path), VoteFile(path)]

    def vote(number):
        for step in range(50):
            files[number % 2].add(dict(id=f'{number}-{step}', text='x' * 500))

    threads = [threading.Thread(target=vote, args=[n]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row['id'] for row in rows(path)}) == 300


def test_a_vote_that_was_cut_off(tmp_path):
    path = tmp_path / 'votes.jsonl'
    path.write_text('{"id": "a"}\n{"id": "b')
    VoteFile(path).add(dict(id='c'))
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"id": "a"}', '{"id": "b']
    assert json.loads(lines[2])['id'] == 'c'


def test_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / 'votes.jsonl'
    votes = VoteFile(path)
    votes.add(dict(id='a'))

    def full(_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(LaunchError, match='The disk is full'):
        votes.add(dict(id='b'))
    assert rows(path)[0]['id'] == 'a'


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(LaunchError, match='no name of a file'):
        VoteFile(tmp_path)
