"""Studies of benchmarks/ on little data, killed, gone on and asked again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

WORKER = Path(__file__).with_name('study_worker.py')


class SmallStudy:
    """A study in a project that :func:`copy_small_project` made.

    Args:
        name (str): Name of the study.
        project (Path): The project.
        common (Sequence): Arguments of all runs.
    """

    def __init__(self, name, project, common):
        self.name, self.project = name, project
        self.common = [str(word) for word in common]

    def run(self, *runs, killed_at=''):
        """Run it several times in one process, as if each had its own.

        Args:
            *runs (tuple): Arguments of each run; a :class:`Path` among them
                is a file of the project that is away meanwhile.
            killed_at (str): Text of the command at which the process ends.

        Returns:
            list[SimpleNamespace]: ``returncode``, ``stdout``, ``stderr`` and
            ``called``, the commands, of each; nothing of a process that was
            killed.
        """
        given = []
        for words in runs:
            away = [str(word) for word in words if isinstance(word, Path)]
            more = [str(w) for w in words if not isinstance(w, Path)]
            given.append(([*self.common, *more], away[0] if away else None))
        command = [sys.executable, WORKER, self.name, self.project, killed_at]
        found = self.project / 'runs.json'
        found.unlink(missing_ok=True)
        done = subprocess.run(
            [*command, json.dumps(given)],
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        )
        assert done.returncode == (9 if killed_at else 0), done.stderr[-2000:]
        if killed_at:
            return []
        return [
            SimpleNamespace(**one) for one in json.loads(found.read_text())
        ]
