"""The check of a real GPU: skips without one, ends when parts fail."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def check(repo_root):
    path = repo_root / 'scripts/gpu_check.py'
    spec = importlib.util.spec_from_file_location('gpu_check', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules['gpu_check'] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules['gpu_check']


def test_without_a_gpu_all_is_skipped(repo_root, tmp_path):
    done = subprocess.run(
        ['bash', str(repo_root / 'scripts/gpu_check.sh'), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='', PYTHON=sys.executable),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'results.json').read_text())
    assert {part['status'] for part in found['parts']} == {'skipped'}
    assert 'torch finds no CUDA device' in done.stdout
    assert found['about']['torch']


def python(code):
    return [sys.executable, '-c', code]


def test_parts_that_fail_stop_no_other(check, tmp_path, monkeypatch, capsys):
    parts = [
        check.Part('breaks', [], python('print("oh"); 1 / 0'), 60),
        check.Part('hangs', [], python('import time; time.sleep(90)'), 6),
        check.Part('is absent', [], [str(tmp_path / 'none')], 60),
        check.Part('works', [], python('print("all right")'), 60),
    ]
    monkeypatch.setattr(check, 'parts', lambda out: parts)
    monkeypatch.setattr(
        sys, 'argv', ['gpu_check', '--out', str(tmp_path), '--rehearse']
    )
    assert check.main() == 1
    found = json.loads((tmp_path / 'results.json').read_text())
    status = {part['name']: part['status'] for part in found['parts']}
    assert status == {
        'breaks': 'failed',
        'hangs': 'failed',
        'is absent': 'failed',
        'works': 'passed',
    }
    page = (tmp_path / 'results.md').read_text()
    for text in ('exit status 1', 'stopped after 6 s', 'all right', 'oh'):
        assert text in page
    monkeypatch.setattr(check, 'parts', lambda out: parts[-1:])
    assert check.main() == 0


def test_every_part_names_programs_that_are_there(check, repo_root, tmp_path):
    for part in check.parts(tmp_path):
        for command in (part.command, part.rehearsal):
            for word in command:
                if word.endswith('.py') or word.startswith('tests'):
                    assert (repo_root / word).exists(), word
    total = sum(part.seconds for part in check.parts(tmp_path))
    assert total <= check.BUDGET
