"""A study on toy data, its tools called in one process.

Usage: python study_worker.py STUDY PROJECT KILLED_AT [ARGUMENTS]

The names of the tools go to PROJECT/called.txt; at the first whose command
holds KILLED_AT the process ends as if it were killed.
"""

import os
import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path


def call(words):
    """Run a tool of the project."""
    words = [str(word) for word in words]
    with open('called.txt', 'a', encoding='utf-8') as file:
        file.write(f'{shlex.join(words)}\n')
    if killed_at and killed_at in ' '.join(words):
        os._exit(9)
    sys.argv = words
    runpy.run_path(words[0], run_name='__main__')


if __name__ == '__main__':
    name, project, killed_at, *arguments = sys.argv[1:]
    os.chdir(project)
    sys.path[:0] = [str(Path(project, n)) for n in ('benchmarks', 'tools')]
    study_runs = import_module('study_runs')
    study_runs.run = lambda *words, log: call(words)
    demo_steps = import_module('demo_steps')
    demo_steps.Demo.run = lambda _, step: call(shlex.split(step.command))
    study = import_module(name)
    sys.argv = [f'{name}.py', *arguments]
    study.main()
