"""The shell scripts that start several processes, and --help of tools."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ('script', 'needs'),
    [
        ('dist_train.sh', 'CONFIG PROCESSES'),
        ('dist_test.sh', 'CONFIG CHECKPOINT PROCESSES'),
        ('slurm_train.sh', 'PARTITION JOB_NAME CONFIG WORK_DIR'),
        ('slurm_test.sh', 'PARTITION JOB_NAME CONFIG CHECKPOINT'),
    ],
)
def test_scripts_explain_themselves(script, needs):
    done = subprocess.run(
        ['bash', str(ROOT / 'tools' / script), 'one'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f'{script} {needs} [options' in done.stderr


@pytest.mark.parametrize(
    ('script', 'args', 'tail'),
    [
        ('dist_train.sh', ('c.py', '2', '--amp'), 'train.py c.py {} --amp'),
        ('dist_test.sh', ('c.py', 'x', '2'), 'test.py c.py x {}'),
    ],
)
def test_dist_scripts(script, args, tail):
    done = subprocess.run(
        ['bash', str(ROOT / 'tools' / script), *args],
        env=dict(os.environ, PYTHON='echo', PORT='1234', NNODES='3'),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split('/tools/')[0] == (
        '-m torch.distributed.run --nnodes=3 --node_rank=0 '
        f'--master_addr=127.0.0.1 --master_port=1234 --nproc_per_node=2 {ROOT}'
    )
    wanted = tail.format('--launcher pytorch')
    assert done.stdout.rpartition('/tools/')[2].strip() == wanted


@pytest.mark.parametrize(
    ('script', 'args', 'tail'),
    [
        (
            'slurm_train.sh',
            ('part', 'job', 'c.py', 'work dir', '--amp'),
            ['c.py', '--work-dir=work dir', '--launcher', 'slurm', '--amp'],
        ),
        (
            'slurm_test.sh',
            ('part', 'job', 'c.py', 'x.pth', '--out', 'a b.json'),
            ['c.py', 'x.pth', '--launcher', 'slurm', '--out', 'a b.json'],
        ),
    ],
)
def test_slurm_scripts(tmp_path, script, args, tail):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    env = dict(
        os.environ,
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
        GPUS='16',
        SRUN_ARGS='--qos=high --exclusive',
        PYTHON='py',
    )
    out = subprocess.run(
        ['bash', str(ROOT / 'tools' / script), *args],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert out[:4] == ['-p', 'part', '--job-name=job', '--gres=gpu:8']
    assert {'--ntasks=16', '--qos=high', '--exclusive'} <= set(out)
    name = script.split('_')[1].replace('.sh', '.py')
    start = out.index('py')
    assert out[start : start + 3] == ['py', '-u', str(ROOT / 'tools' / name)]
    assert out[start + 3 :] == tail
