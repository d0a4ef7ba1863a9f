"""Runs a function in processes where mmtpr was never imported.

Usage: python tests/helpers/fresh_process.py SCRIPT.py CASE [CASE...]

``SCRIPT.py`` has ``PRELOAD``, a list of modules, and ``main(case)``, whose
return value is written as json. The modules are imported once, then every case
gets a process of its own by fork, so that registries are as fresh as in a new
interpreter while the slow imports are paid once. Prints one json line: case ->
``{"result": ...}`` or ``{"error": traceback}``.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback
from importlib import import_module


def run_case(script: dict, case: str, path: str) -> None:
    """Run one case and write its outcome."""
    try:
        outcome = {'result': script['main'](case)}
    except BaseException:
        outcome = {'error': traceback.format_exc()}
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(outcome, file)


def main(path: str, cases: list) -> None:
    """Fork once a case and print all outcomes."""
    script = runpy.run_path(path)
    for name in script['PRELOAD']:
        import_module(name)
    assert not any(name.split('.')[0] == 'mmtpr' for name in sys.modules)
    outcomes = {}
    for case in cases:
        handle, answer = tempfile.mkstemp()
        os.close(handle)
        child = os.fork()
        if child == 0:
            sys.modules['torch'].set_num_threads(1)
            run_case(script, case, answer)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        with open(answer, encoding='utf-8') as file:
            text = file.read()
        outcomes[case] = json.loads(text or '{"error": "the process died"}')
        os.unlink(answer)
    print('\n' + json.dumps(outcomes))  # noqa: T201


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
