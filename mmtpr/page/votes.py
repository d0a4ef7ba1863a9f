"""What users of a page think of results, kept for a later training."""

import json
import os
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmtpr.utils.atomic import (
    check_writable,
    disk_full_message,
    is_disk_full,
)
from mmtpr.utils.errors import LaunchError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class VoteFile:
    """A file of votes, one JSON object a line.

    A vote is one write at the end of the file: votes of several processes
    stand one after the other. Where a process died in the middle of one, the
    next vote starts a new line.

    Args:
        path (str | PathLike): The file, made with the first vote.

    Raises:
        LaunchError: If it cannot be written.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        check_writable(self.path)
        self._lock = threading.Lock()

    def add(self, vote: Mapping[str, Any]) -> None:
        """Write a vote; on disk when this returns.

        Args:
            vote (Mapping[str, Any]): What json holds; ``time`` (UTC) is
                added.

        Raises:
            LaunchError: If the disk is full. The votes before are kept.
        """
        now = datetime.now(timezone.utc).isoformat(timespec='milliseconds')
        line = json.dumps(dict(time=now, **vote), ensure_ascii=False)
        with self._lock:
            try:
                self._append(f'{line}\n'.encode('utf-8', 'backslashreplace'))
            except OSError as error:
                if is_disk_full(error, self.path.parent):
                    told = disk_full_message(self.path)
                    raise LaunchError(told) from error
                raise

    def _append(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, 'ab+', buffering=0) as file:
            if fcntl is not None:  # a write of others may be seen half done
                fcntl.flock(file, fcntl.LOCK_EX)
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b'\n':
                    content = b'\n' + content
            done = file.write(content)
            if done != len(content):  # the rest says what is wrong
                file.write(content[done:])
            os.fsync(file.fileno())
