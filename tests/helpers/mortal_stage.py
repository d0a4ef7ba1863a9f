"""A stage whose process can be ended on purpose, in whichever process."""

import os
from pathlib import Path

from engine_stages import Numbers

from mmtpr.data_engine import StageFolder
from mmtpr.utils.errors import LaunchError

FEW = 20


class Mortal(Numbers):
    """Ends its process, or fails, at one of the numbers."""

    def __init__(self, notes, deaths=0, full=False, **kwargs):
        super().__init__(**kwargs)
        self.notes, self.deaths, self.full = Path(notes), deaths, full

    def process(self, items):
        for row in super().process(items):
            with open(self.notes / 'done', 'a', encoding='utf-8') as file:
                file.write(f'{row["key"]} {os.getpid()}\n')
            if row['key'] == '000010':
                died = self.notes / 'died'
                times = died.stat().st_size if died.exists() else 0
                if times < self.deaths:
                    died.write_text('.' * (times + 1))
                    os._exit(9)
                if self.full:
                    raise LaunchError('The disk is full: planted.')
            yield row


def build(folder, notes, **kwargs):
    """A stage, in whichever process."""
    return Mortal(notes, total=FEW, size=4, **kwargs), StageFolder(folder)
