"""An update that is killed at any moment leaves a store that goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gallery_updater
import pytest


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_kill_an_update_at_random_moments(
    tmp_path, needs_the_extra, repo_root
):
    script = Path(gallery_updater.__file__)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        # One thread: a fork has no others.
        env=dict(os.environ, PYTHONPATH=str(repo_root), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told['killed'] > 0, 'all ended before they were killed'
