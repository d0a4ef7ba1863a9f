#!/usr/bin/env python
"""From nothing to a filtered, trained, adapter-tuned and tested retriever.

Runs the project's own tools on data that it draws itself and prints each
command before it runs, so that every step can be repeated by hand:

    python tools/demo.py

Data go to data/toy and are reused; weights and logs go to work_dirs.
"""

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

from mmengine.config import Config

from mmtpr.utils import atomic_write, read_json

ROOT = Path(__file__).resolve().parents[1]

OUT = Path('work_dirs/demo')
PRETRAIN = 'configs/toy/pretrain_toy.py'
FILTERED = 'configs/toy/pretrain_toy_filtered.py'
TUNED = 'configs/wora_toy.py'
#: Size and number of pictures that two CPU cores manage in minutes.
TOY_SIZE = '--size 64 32 --train 4000 --pretrain 20000'
#: Lines of a tool's output that are shown while it runs.
SHOWN = re.compile(r'Epoch\((train|val|test)\)|Parameters:|^\||^Wrote|kept')
METRICS = ('R@1', 'R@5', 'R@10', 'mAP')
KINDS = dict(
    another="another person's caption",
    three='three attributes wrong',
    one='one attribute wrong',
)


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

    out: Path = OUT
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
        print(f'\n{text}\n\nRanked lists: {self.out / "ranking.png"}')


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


def stages(seed: int) -> list[Step]:
    """List the commands up to the tuned model.

    Args:
        seed (int): Seed of the data.

    Returns:
        list[Step]: In the order they run.
    """
    noisy, filtered = weights('noisy_weights'), weights('filtered_weights')
    scores = Config.fromfile(ROOT / FILTERED).relevance_scores
    return [
        Step(
            'data',
            'Draw pedestrians and describe them, 30 % of one set wrongly',
            f'tools/synthesis/write_toy_data.py --out data/toy {TOY_SIZE} '
            f'--seed {seed}',
        ),
        Step(
            'pretrain',
            'Pre-train a small dual encoder on the noisy set',
            f'tools/train.py {PRETRAIN}',
        ),
        Step(
            'score',
            'Score how well each picture and caption of that set fit',
            f'tools/filtering/score_relevance.py {PRETRAIN} {noisy} '
            f'--bank {TUNED} --bank-size 3000 --out {scores} --overwrite '
            '--num-workers 0 --batch-size 256',
        ),
        Step(
            'report',
            'Compare the scores with the truth that was kept aside',
            f'tools/filtering/report_relevance.py {scores} '
            f'--truth data/toy/pretrain/truth.json --config {PRETRAIN} '
            f'--out {OUT}/relevance',
        ),
        Step(
            'filtered',
            'Go on pre-training with the pairs that fit',
            f'tools/train.py {FILTERED}',
        ),
        Step(
            'test_before',
            'Test on unseen people before tuning',
            f'tools/test.py {FILTERED} {filtered} --out {OUT}/before.json',
        ),
        Step(
            'wora',
            'Tune with WoRA on the clean target set',
            f'tools/train.py {TUNED}',
        ),
    ]


def last_steps() -> list[Step]:
    """List the commands that need to know which checkpoint is best.

    Returns:
        list[Step]: In the order they run.
    """
    best = best_checkpoint(Path('work_dirs/wora_toy'))
    return [
        Step(
            'test_after',
            'Test the tuned model on the same people',
            f'tools/test.py {TUNED} {best} --out {OUT}/after.json '
            '--cfg-options '
            f'test_evaluator.save_ranking={OUT}/ranking.json',
        ),
        picture_step(OUT, 'Draw ranked lists'),
    ]


def picture_step(out: Path, title: str) -> Step:
    """Draw the ranking that a test saved.

    Args:
        out (Path): Folder with ranking.json, which gets ranking.png.
        title (str): What it does, in a few words.

    Returns:
        Step: The command.
    """
    return Step(
        'picture',
        title,
        f'tools/analysis/visualize_ranking.py '
        f'--ranking {out}/ranking.json --out {out}/ranking.png',
    )


def weights(name: str) -> str:
    """Find where the configs say that a stage leaves its weights.

    Args:
        name (str): ``noisy_weights`` or ``filtered_weights``.

    Returns:
        str: Path of a checkpoint.
    """
    return Config.fromfile(ROOT / FILTERED)[name]


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


def summary(out: Path, seconds: dict[str, float]) -> str:
    """Put the results that the tools wrote into tables.

    Args:
        out (Path): Folder of the results.
        seconds (dict[str, float]): Time of each step, by name.

    Returns:
        str: Markdown.
    """
    lines = [
        '| | ' + ' | '.join(METRICS) + ' | trained parameters |',
        '|---|' + '---:|' * (len(METRICS) + 1),
    ]
    for title, metrics, log in (
        ('before tuning', 'before', 'filtered'),
        ('after WoRA', 'after', 'wora'),
    ):
        values = read_json(out / f'{metrics}.json')
        row = ' | '.join(f'{find(values, name):.2f}' for name in METRICS)
        count = trained_parameters(out / 'logs' / f'{log}.log')
        lines.append(f'| {title} | {row} | {count} |')
    return '\n'.join([*lines, '', *filter_lines(out), '', times(seconds)])


def filter_lines(out: Path) -> list[str]:
    """Tabulate how the filter told wrong pairs from right ones.

    Args:
        out (Path): Folder of the results.

    Returns:
        list[str]: Lines of Markdown.
    """
    report = read_json(out / 'relevance' / 'report.json')
    lines = ['| wrong captions | pairs | filter AUC |', '|---|---:|---:|']
    for kind, title in KINDS.items():
        row = report['auc'][kind]
        lines.append(f'| {title} | {row["pairs"]} | {row["rank"]:.3f} |')
    kept = re.search(
        r'kept ([\d,]+) of ([\d,]+)',
        (out / 'logs' / 'filtered.log').read_text('utf-8'),
    )
    if kept:
        first, second = (int(n.replace(',', '')) for n in kept.groups())
        lines += ['', f'Kept share: {100 * first / second:.1f} % of pairs.']
    return lines


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


def main() -> None:
    """Run the demo."""
    args = parse_args(__doc__)
    run_demo(OUT, lambda: stages(args.seed), last_steps, summary)


if __name__ == '__main__':
    main()
