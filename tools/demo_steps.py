"""Steps of a demo, one of the project's tools each, run and logged."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mmtpr.utils import atomic_write

ROOT = Path(__file__).resolve().parents[1]

METRICS = ('R@1', 'R@5', 'R@10', 'mAP')
#: Lines of a tool's output that are shown while it runs.
SHOWN = re.compile(r'Epoch\((train|val|test)\)|Parameters:|^\||^Wrote|kept')


@dataclass
class Step:
    """One command.

    Args:
        name (str): Name of its log file.
        title (str): What it does, in a few words.
        command (str): Script and arguments for the interpreter.
    """

    name: str
    title: str
    command: str


@dataclass
class Demo:
    """Runs steps, shows some of their output, keeps all of it.

    Args:
        out (Path): Folder for results and logs.
        seconds (dict[str, float]): Time of each step done, by name.
    """

    out: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, step: Step) -> None:
        """Run one command.

        Args:
            step (Step): The command.

        Raises:
            SystemExit: If it fails; the message shows the end of its output.
        """
        print(f'\n# {step.title}\n$ python {step.command}')
        log = self.out / 'logs' / f'{step.name}.log'
        log.parent.mkdir(parents=True, exist_ok=True)
        start, lines = time.time(), []
        with open(log, 'w', encoding='utf-8') as file:
            process = subprocess.Popen(
                [sys.executable, *shlex.split(step.command)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
                cwd=ROOT,
            )
            for line in process.stdout:
                file.write(line)
                lines.append(line)
                if SHOWN.search(line):
                    print(f'  {shorten(line)}', flush=True)
        self.seconds[step.name] = time.time() - start
        if process.wait():
            sys.stdout.write(''.join(lines[-15:]))
            raise SystemExit(f'This step failed; its output is in {log}.')
        print(f'  ({self.seconds[step.name]:.0f} s)', flush=True)

    def finish(self, text: str) -> None:
        """Write and print the results.

        Args:
            text (str): Their tables.
        """
        with atomic_write(self.out / 'table.md', 'w') as file:
            file.write(text + '\n')
        with atomic_write(self.out / 'seconds.json', 'w') as file:
            json.dump(self.seconds, file, indent=2)
        print(f'\n{text}')
        picture = self.out / 'ranking.png'
        if picture.exists():
            print(f'\nRanked lists: {picture}')


def shorten(line: str) -> str:
    """Drop what makes the lines of a log long.

    Args:
        line (str): A line.

    Returns:
        str: At most 100 characters, without date and times.
    """
    line = re.sub(r'^[\d/]+ [\d:]+ - mmengine - \w+ - ', '', line.strip())
    line = re.sub(
        r'\s+(base_lr|eta|time|data_time|memory): \S+( \S+:)?', '', line
    )
    return line[:100]


def ranking_step(out: Path, title: str) -> Step:
    """Draw the ranking that a test saved.

    Args:
        out (Path): Folder with ranking.json, which gets ranking.png.
        title (str): What it does, in a few words.

    Returns:
        Step: The command.
    """
    return Step(
        'ranking',
        title,
        f'tools/analysis/visualize_ranking.py '
        f'--ranking {out}/ranking.json --out {out}/ranking.png --overwrite',
    )


def best_checkpoint(folder: Path) -> str:
    """Find the checkpoint that validation chose last.

    Args:
        folder (Path): Work dir of a training run.

    Returns:
        str: Path of the checkpoint.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = sorted(
        (ROOT / folder).glob('best_*.pth'), key=lambda p: p.stat().st_mtime
    )
    if not found:
        raise FileNotFoundError(f'No best_*.pth in "{folder}".')
    return str(folder / found[-1].name)


def trained_parameters(log: Path) -> str:
    """Read from a training log how many parameters trained.

    Args:
        log (Path): Output of ``tools/train.py``.

    Returns:
        str: The number, with thousands separators.
    """
    found = re.search(r'Parameters: ([\d,]+) of', log.read_text('utf-8'))
    return found.group(1) if found else '?'


def find(values: dict, name: str) -> float:
    """Look up a metric, with or without a prefix.

    Args:
        values (dict): Metrics as ``tools/test.py`` writes them.
        name (str): E.g. ``'mAP'``.

    Returns:
        float: The value.
    """
    keys = [key for key in values if key.split('/')[-1] == name]
    return float(values[keys[0]])


def times(seconds: dict[str, float]) -> str:
    """Say how long each step took.

    Args:
        seconds (dict[str, float]): Time of each step, by name.

    Returns:
        str: One sentence.
    """
    parts = ', '.join(f'{name} {value:.0f}' for name, value in seconds.items())
    return f'Seconds: {sum(seconds.values()):.0f} ({parts}).'


def parse_args(description: str) -> argparse.Namespace:
    """Parse the command line.

    Args:
        description (str): What the program does.

    Returns:
        Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--seed', type=int, default=0, help='of the data')
    return parser.parse_args()


def run_demo(
    out: Path,
    training: Callable[[], list[Step]],
    testing: Callable[[], list[Step]],
    summary: Callable[[Path, dict[str, float]], str],
) -> None:
    """Run a demo from the root of the project.

    Args:
        out (Path): Folder for results and logs.
        training (Callable): Lists the commands up to the trained models.
        testing (Callable): Lists those after it; called when the models are
            there.
        summary (Callable): Puts the results in a folder, and the time of
            each step, into words.
    """
    os.chdir(ROOT)
    demo = Demo(out=out)
    for steps in (training, testing):
        for step in steps():
            demo.run(step)
    demo.finish(summary(demo.out, demo.seconds))
