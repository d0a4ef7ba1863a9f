"""Parts of ``scripts/gpu_check.sh``: run each, keep what it says, sum up."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
#: All parts together end within eight minutes.
BUDGET = 465


@dataclass
class Part:
    """One part of the check.

    Attributes:
        name (str): Its title.
        command (list[str]): What runs on a GPU.
        rehearsal (list[str]): What runs in its place without one.
        seconds (int): When it is stopped.
    """

    name: str
    command: list[str]
    rehearsal: list[str]
    seconds: int


@dataclass
class Outcome:
    """What became of a part.

    Attributes:
        name (str): Title of the part.
        status (str): ``'passed'``, ``'failed'`` or ``'skipped'``.
        reason (str): Why it failed or was skipped.
        seconds (float): How long it took.
        log (str): File with all it said.
    """

    name: str
    status: str
    reason: str = ''
    seconds: float = 0.0
    log: str = ''


def parts(out: Path) -> list[Part]:
    """List the parts; what they measure goes to ``out``."""
    pytest = [PYTHON, '-m', 'pytest', '-q', '-p', 'no:cacheprovider']

    def bench(name: str, *options: str) -> list[str]:
        return [PYTHON, f'benchmarks/{name}.py', *options]

    numbers = ('--json', str(out / 'on_device.json'))
    step = ('--json', str(out / 'training_step.json'))
    return [
        Part(
            'tests',
            [*pytest, '-m', 'gpu', 'tests'],
            [*pytest, 'tests/test_testing/test_pretended_gpu/test_device.py'],
            180,
        ),
        Part(
            'training step',
            bench('training_step', 'configs/wora_cuhk.py', '--amp', *step),
            bench('training_step', 'configs/wora_cuhk.py', '--tiny', *step),
            80,
        ),
        Part(
            'ranking, relevance, re-ranking',
            bench('on_device', 'all', *numbers),
            bench('on_device', 'all', '--small', '--rounds', '1', *numbers),
            90,
        ),
        Part(
            'adapters',
            bench('adapters', '--device', 'cuda', '--rounds', '3'),
            bench('adapters', '--device', 'cpu', '--host-only'),
            115,
        ),
    ]


def facts() -> dict:
    """Describe the machine and the versions."""
    code = (
        'import json, torch, mmtpr, mmengine\n'
        'n = torch.cuda.device_count()\n'
        'names = [torch.cuda.get_device_name(i) for i in range(n)]\n'
        'print(json.dumps(dict(gpus=names, torch=torch.__version__, '
        'cuda=torch.version.cuda, mmtpr=mmtpr.__version__, '
        'mmengine=mmengine.__version__)))'
    )
    found = subprocess.run(
        [PYTHON, '-c', code], capture_output=True, text=True, cwd=ROOT
    )
    if found.returncode:
        return dict(gpus=[], error=found.stderr.strip()[-500:])
    commit = subprocess.run(
        ['git', 'rev-parse', '--short', 'HEAD'],
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout.strip()
    line = found.stdout.splitlines()[-1]
    return dict(
        json.loads(line), python=platform.python_version(), commit=commit
    )


def run(part: Part, rehearse: bool, left: float, out: Path) -> Outcome:
    """Run a part in a process of its own; whatever happens is noted."""
    log = out / f'{part.name.split(",")[0].replace(" ", "_")}.log'
    limit = min(part.seconds, left)
    if limit < 5:
        return Outcome(part.name, 'failed', 'no time was left')
    begin = time.monotonic()
    reason = ''
    with open(log, 'w', encoding='utf-8') as file:
        try:
            done = subprocess.run(
                part.rehearsal if rehearse else part.command,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                timeout=limit,
                env=dict(os.environ, PYTHONUNBUFFERED='1'),
            )
            if done.returncode:
                reason = f'exit status {done.returncode}'
        except subprocess.TimeoutExpired:
            reason = f'stopped after {limit:.0f} s'
        except OSError as error:
            reason = str(error)
    status = 'failed' if reason else 'passed'
    seconds = time.monotonic() - begin
    return Outcome(part.name, status, reason, seconds, log.name)


def tail(path: Path, lines: int = 60) -> str:
    """Last lines of a log."""
    return '\n'.join(path.read_text('utf-8').splitlines()[-lines:])


def report(about: dict, outcomes: list[Outcome], out: Path) -> str:
    """Write the page."""
    gpus = ', '.join(about.get('gpus') or ['none'])
    lines = [
        '# mmtpr on a GPU',
        '',
        f'GPUs: {gpus}. '
        + ', '.join(f'{k} {v}' for k, v in about.items() if k != 'gpus'),
        '',
        '| part | status | seconds | why |',
        '|---|---|---:|---|',
    ]
    lines += [
        f'| {x.name} | {x.status} | {x.seconds:.0f} | {x.reason} |'
        for x in outcomes
    ]
    for outcome in outcomes:
        if outcome.log:
            text = tail(out / outcome.log)
            lines += ['', f'## {outcome.name}', '', '```', text, '```']
    return '\n'.join(lines) + '\n'


def main() -> int:
    """Check; 1 if a part failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='work_dirs/gpu_check')
    parser.add_argument('--rehearse', action='store_true')
    args = parser.parse_args()
    out = Path(args.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    about = facts()
    usable = args.rehearse or bool(about['gpus'])
    outcomes = []
    for part in parts(out):
        if not usable:
            reason = about.get('error', 'torch finds no CUDA device')
            outcomes.append(Outcome(part.name, 'skipped', reason))
        else:
            left = BUDGET - (time.monotonic() - begin)
            outcomes.append(run(part, args.rehearse, left, out))
        last = outcomes[-1]
        print(f'{last.status:8} {last.name} {last.reason}', flush=True)
    content = dict(about=about, parts=[asdict(x) for x in outcomes])
    for name in ('on_device', 'training_step'):
        found = out / f'{name}.json'
        if found.is_file():
            content[name] = json.loads(found.read_text('utf-8'))
    (out / 'results.json').write_text(json.dumps(content, indent=1), 'utf-8')
    (out / 'results.md').write_text(report(about, outcomes, out), 'utf-8')
    print(f'See {out / "results.md"}')
    return int(any(x.status == 'failed' for x in outcomes))


if __name__ == '__main__':
    sys.exit(main())
