"""What a folder of a run holds, to compare runs by."""

from pathlib import Path


def content(folder):
    """All files but those that name the run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob('*'))
        if path.is_file() and path.name not in ('stage.json', '.lock')
    }
