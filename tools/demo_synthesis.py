#!/usr/bin/env python
"""The data engine from a theme to a trained FAFA, where the truth is known.

A grammar writes, the procedural world renders, the retriever of tools/demo.py
judges; four of ten pairs are faulty on purpose, which no judge is told. The
light FAFA trains on everything, joins the judges, and trains again on what
the rule lets through, with equal steps; both are tested on the composed toy
test set. Prints each command before it runs. What tools/demo.py left is used;
what is missing of it is made first:

    python tools/demo_synthesis.py

The run goes to data/toy_synthesis; weights and logs go to work_dirs.
"""

from pathlib import Path

from demo_composed import COMPOSED_SIZE, missing_stages
from demo_steps import METRICS, Step, parse_args, run_demo, times

from mmtpr.utils import read_json

OUT = Path('work_dirs/demo_synthesis')
RUN = 'data/toy_synthesis'
ENGINE = 'configs/synthesis/syncpr_toy.py'
ALL = 'configs/toy/fafa_synthesis_all_toy.py'
PASSED = 'configs/toy/fafa_synthesis_toy.py'
STEPS = 600
#: Judges that need nothing but what tools/demo.py left.
JUDGES = ('image', 'relevance', 'identity')
#: A rule that every pair satisfies.
EVERYTHING = '[{"field": "image.typical", "min": -1e9}]'


def engine_command(tool: str, run: str, more: str, options: str) -> str:
    """Write a command of the data engine.

    Args:
        tool (str): Name of the script.
        run (str): Folder of the run.
        more (str): Further arguments.
        options (str): Of ``--cfg-options``.

    Returns:
        str: Script and arguments.
    """
    words = [f'tools/synthesis/{tool}.py', ENGINE, run, more]
    words += ['--cfg-options', options] if options else []
    return ' '.join(filter(None, words))


def judge_step(name: str, run: str = RUN, options: str = '') -> Step:
    """Let one judge judge.

    Args:
        name (str): Of the judge in the config.
        run (str): Folder of the run. Defaults to :data:`RUN`.
        options (str): Of ``--cfg-options``. Defaults to ''.

    Returns:
        Step: The command.
    """
    return Step(
        f'judge_{name}',
        f'Judge: {name}',
        engine_command('judge_pairs', run, f'--judge {name}', options),
    )


def composed_data_step(seed: int) -> Step:
    """Draw the composed test set, unless it is there.

    Args:
        seed (int): Seed of the test data.

    Returns:
        Step: The command.
    """
    return Step(
        'composed_data',
        'Draw the composed test set',
        'tools/synthesis/write_composed_toy_data.py '
        f'--out data/toy_composed {COMPOSED_SIZE} --seed {seed}',
    )


def pair_steps(run: str = RUN, options: str = '') -> list[Step]:
    """List the commands up to a file of all pairs, good or bad.

    Args:
        run (str): Folder of the run. Defaults to :data:`RUN`.
        options (str): Of ``--cfg-options``. Defaults to ''.

    Returns:
        list[Step]: In the order they run.
    """
    everything = f"{options} 'assemble.rule={EVERYTHING}'".lstrip()
    return [
        Step(
            'write',
            'Write captions of people before and after a change',
            engine_command('write_quadruples', run, '', options),
        ),
        Step(
            'render',
            'Render pairs of images',
            engine_command('render_pairs', run, '', options),
        ),
        *(judge_step(name, run, options) for name in JUDGES),
        Step(
            'everything',
            'Put all pairs into one file',
            engine_command(
                'assemble_triplets',
                run,
                f'--out {run}/everything --judges image',
                everything,
            ),
        ),
    ]


def filter_steps(run: str = RUN, options: str = '') -> list[Step]:
    """List the commands from a FAFA of all pairs to what passes.

    Args:
        run (str): Folder of the run. Defaults to :data:`RUN`.
        options (str): Of ``--cfg-options``. Defaults to ''.

    Returns:
        list[Step]: In the order they run.
    """
    return [
        judge_step('composed', run, options),
        Step(
            'assemble',
            'Keep what the rule lets through',
            engine_command('assemble_triplets', run, '', options),
        ),
    ]


def making_steps(seed: int) -> list[Step]:
    """List the commands up to the trained models.

    Args:
        seed (int): Seed of the test data.

    Returns:
        list[Step]: In the order they run.
    """
    return [
        composed_data_step(seed),
        *pair_steps(),
        Step(
            'train_all',
            'Train the light FAFA on everything',
            f'tools/train.py {ALL}',
        ),
        *filter_steps(),
        Step(
            'train_passed',
            'Train it on what passed, with equal steps',
            f'tools/train.py {PASSED}',
        ),
    ]


def testing_steps() -> list[Step]:
    """List the tests.

    Returns:
        list[Step]: In the order they run.
    """
    return [
        Step(
            f'test_{name}',
            title,
            f'tools/test.py {config} '
            f'work_dirs/{Path(config).stem}/iter_{STEPS}.pth --overwrite '
            f'--out {OUT}/{name}.json',
        )
        for name, title, config in (
            ('all', 'Test the one of everything', ALL),
            ('passed', 'Test the one of what passed', PASSED),
        )
    ]


def summary(out: Path, seconds: dict[str, float]) -> str:
    """Put the results that the tools wrote into tables.

    Args:
        out (Path): Folder of the results.
        seconds (dict[str, float]): Time of each step, by name.

    Returns:
        str: Markdown.
    """
    report = read_json(Path(RUN, 'assembled/report.json'))
    faults, rule = report['planted_faults'], report['rule']
    fields = [term['term'].split()[0] for term in rule['terms']]
    lines = [
        f'| planted fault | pairs | kept | {" | ".join(fields)} |',
        f'|---|---:|---:|{"---:|" * len(fields)}',
    ]
    for name, found in faults.items():
        cells = ' | '.join(f'{found["auc"][f]:.3f}' for f in fields)
        lines.append(
            f'| {name} | {found["number"]} | {found["kept"]} | {cells} |'
        )
    share = 100 * rule['kept'] / rule['pairs']
    lines += [
        '',
        'AUC of each field in telling pairs with the fault from those without '
        f'any. The rule keeps {rule["kept"]} of {rule["pairs"]} pairs '
        f'({share:.1f} %).',
        '',
        f'| trained on | {" | ".join(METRICS)} |',
        f'|---|{"---:|" * len(METRICS)}',
    ]
    for title, name in (('everything', 'all'), ('what passed', 'passed')):
        result = read_json(out / f'{name}.json')
        cells = ' | '.join(f'{result[key]:.2f}' for key in METRICS)
        lines.append(f'| {title} | {cells} |')
    lines += [
        '',
        f'Contact sheets: best, borderline, worst .png in {RUN}/assembled.',
        '',
        times(seconds),
    ]
    return '\n'.join(lines)


def main() -> None:
    """Run the demo."""
    args = parse_args(__doc__)
    run_demo(
        OUT,
        lambda: [*missing_stages(args.seed), *making_steps(args.seed)],
        testing_steps,
        summary,
    )


if __name__ == '__main__':
    main()
