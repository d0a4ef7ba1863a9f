"""A tool answers --help, and a mistake, before it imports what does the work.

Not a matter of seconds, which differ between machines: what costs them is
looked for.
"""

import pytest

SLOW = {'torch', 'mmcv', 'mmpretrain', 'open_clip', 'transformers'}
# Runs a tool as the main program and prints what it has imported.
AS_MAIN = """
import runpy, sys
from pathlib import Path
sys.argv = sys.argv[1:]
sys.path.insert(0, str(Path(sys.argv[0]).parent))
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as end:
    print('ended with', end.code)
print(*sorted({name.split('.')[0] for name in sys.modules}))
"""


def tools(root):
    return sorted(
        path
        for path in root.glob('tools/**/*.py')
        if 'def main' in path.read_text(encoding='utf-8')
    )


@pytest.mark.parametrize(
    ('words', 'code'), [(['--help'], 0), (['--no-such-option', 'a'], 2)]
)
def test_the_command_line_comes_first(repo_root, run_python, words, code):
    found = tools(repo_root)
    assert len(found) >= 20
    for tool in found:
        done = run_python(AS_MAIN, str(tool), *words)
        *_, ended, modules = done.stdout.strip().splitlines()
        assert ended == f'ended with {code}', f'{tool}: {done.stderr}'
        assert not SLOW & set(modules.split()), tool
