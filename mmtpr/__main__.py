"""Commands of an installed mmtpr: ``python -m mmtpr search ...``."""

import runpy
import sys
from pathlib import Path

COMMANDS = dict(
    gallery='keep the embeddings of a folder of images in a store',
    search='search such a store by a sentence, or by a photo with one',
    serve='serve a page on which people search it',
)
_HERE = Path(__file__).resolve().parent


def find_tool(name: str) -> Path:
    """Find the tool that a command runs.

    Args:
        name (str): One of :data:`COMMANDS`.

    Returns:
        Path: The script: of the installed package, or of its sources.
    """
    places = (_HERE / '.mim/tools', _HERE.parent / 'tools')
    tools = [place / f'{name}.py' for place in places]
    return next((tool for tool in tools if tool.is_file()), tools[0])


def main() -> None:
    """Run a command."""
    name = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if name not in COMMANDS:
        lines = [f'  {name:<9} {told}' for name, told in COMMANDS.items()]
        usage = 'usage: python -m mmtpr COMMAND ...'
        text = '\n'.join([usage, '', *lines, '', 'COMMAND --help tells more.'])
        if name in ('-h', '--help'):
            sys.stdout.write(f'{text}\n')
            return
        sys.exit(f'error: there is no command "{name}".\n\n{text}')
    tool = str(find_tool(name))
    sys.argv = [tool, *sys.argv[2:]]
    runpy.run_path(tool, run_name='__main__')


if __name__ == '__main__':
    main()
