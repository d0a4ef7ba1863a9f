"""A study on toy data, its tools called in one process, several times.

Usage: python study_worker.py STUDY PROJECT KILLED_AT RUNS

RUNS is json: for each run its arguments and a file of the project that is
away meanwhile, or null. What each run did goes to PROJECT/runs.json. At the
first tool whose command holds KILLED_AT the process ends as if it were killed.
"""

import contextlib
import io
import json
import os
import runpy
import shlex
import sys
import time
from importlib import import_module
from pathlib import Path


def call(words):
    """Run a tool of the project."""
    words = [str(word) for word in words]
    called.append(shlex.join(words))
    if killed_at and killed_at in ' '.join(words):
        os._exit(9)
    # Runs that begin in the same second of a process would share a log.
    time.sleep(1 - time.time() % 1)
    sys.argv = words
    runpy.run_path(words[0], run_name='__main__')


def run(arguments, away):
    """Run the study; say how it ended and what it called."""
    called.clear()
    sys.argv = [f'{name}.py', *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    hidden = Path(f'{away}.hidden')
    if away:
        Path(away).rename(hidden)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            study.main()
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            err.write(code)
            code = 1
    finally:
        if away:
            hidden.rename(away)
    texts = dict(stdout=out.getvalue(), stderr=err.getvalue())
    return dict(texts, returncode=code or 0, called='\n'.join(called))


if __name__ == '__main__':
    name, project, killed_at, runs = sys.argv[1:]
    called = []
    os.chdir(project)
    sys.path[:0] = [str(Path(project, n)) for n in ('benchmarks', 'tools')]
    study_runs = import_module('study_runs')
    study_runs.run = lambda *words, log: call(words)
    demo_steps = import_module('demo_steps')
    demo_steps.Demo.run = lambda _, step: call(shlex.split(step.command))
    study = import_module(name)
    results = [run(*one) for one in json.loads(runs)]
    Path('runs.json').write_text(json.dumps(results))
