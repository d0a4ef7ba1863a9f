#!/usr/bin/env python
"""From the encoder of tools/demo.py to composed person retrieval.

Trains two TINets (Word4Per) and the light FAFA on data that it draws itself,
tests them beside image alone, text alone and their sum, and prints each
command before it runs. What tools/demo.py left is used; what is missing of it
is made first:

    python tools/demo_composed.py

Data go to data/toy and data/toy_composed; weights and logs go to work_dirs.
"""

from pathlib import Path

from demo import stages, weights
from demo_steps import (
    METRICS,
    ROOT,
    Step,
    best_checkpoint,
    parse_args,
    ranking_step,
    run_demo,
    times,
)

from mmtpr.utils import read_json

OUT = Path('work_dirs/demo_composed')
TEXT, VIS = 'configs/toy/word4per_toy.py', 'configs/toy/word4per_vis_toy.py'
FUSED, FAFA = 'configs/toy/word4per_fuse_toy.py', 'configs/toy/fafa_toy.py'
#: Size and number of images that two CPU cores manage in minutes.
COMPOSED_SIZE = '--size 64 32 --train 3000 --val 80 --test 220'
#: What the stages of tools/demo.py leave, and who names it in the configs.
PRODUCTS = dict(
    pretrain='noisy_weights',
    score='relevance_scores',
    filtered='filtered_weights',
)
#: Title of a row -> file of numbers and the metric's row in it.
ROWS = {
    'image only': ('word4per', 'image/'),
    'text only': ('word4per', 'text/'),
    'normalised sum': ('word4per', 'sum/'),
    'TINet, L_Text': ('word4per', 'tinet0/'),
    'TINet, L_Vis': ('word4per', 'tinet1/'),
    'TINet fusion': ('word4per', ''),
    'light FAFA': ('fafa', ''),
}


def missing_stages(seed: int) -> list[Step]:
    """List the stages of tools/demo.py whose results are not there.

    Results older than the data belong to other data.

    Args:
        seed (int): Seed of the data.

    Returns:
        list[Step]: Drawing the data, which leaves those that are there alone,
        and what comes after the last result.
    """
    steps = {step.name: step for step in stages(seed)}
    data = ROOT / 'data/toy/settings.json'
    missing = []
    for name, key in reversed(PRODUCTS.items()):
        product = ROOT / weights(key)
        if (
            data.is_file()
            and product.is_file()
            and product.stat().st_mtime >= data.stat().st_mtime
        ):
            break
        missing.append(steps[name])
    return [steps['data'], *reversed(missing)]


def training_steps(seed: int) -> list[Step]:
    """List the commands that draw triplets and train on them.

    Args:
        seed (int): Seed of the data.

    Returns:
        list[Step]: In the order they run.
    """
    return [
        Step(
            'composed_data',
            'Draw people before and after a change, and say what changed',
            'tools/synthesis/write_composed_toy_data.py '
            f'--out data/toy_composed {COMPOSED_SIZE} --seed {seed}',
        ),
        Step(
            'tinet_text',
            'Train a TINet whose word means what captions say',
            f'tools/train.py {TEXT}',
        ),
        Step(
            'tinet_vis',
            'Train a TINet whose word means what images show',
            f'tools/train.py {VIS}',
        ),
        Step(
            'fafa',
            'Train the light FAFA on triplets',
            f'tools/train.py {FAFA}',
        ),
    ]


def testing_steps() -> list[Step]:
    """List the commands that need to know which checkpoints are best.

    Returns:
        list[Step]: In the order they run.
    """
    tinets = ' '.join(
        best_checkpoint(Path('work_dirs', Path(name).stem))
        for name in (TEXT, VIS)
    )
    best = best_checkpoint(Path('work_dirs', Path(FAFA).stem))
    return [
        Step(
            'fuse',
            'Join the two TINets',
            f'tools/model_converters/fuse_tinets.py {tinets} '
            f'--out {OUT}/fused.pth --overwrite',
        ),
        Step(
            'test_word4per',
            'Test the TINets, beside image and text alone',
            f'tools/test.py {FUSED} {OUT}/fused.pth --overwrite '
            f'--out {OUT}/word4per.json',
        ),
        Step(
            'test_fafa',
            'Test the light FAFA on the same queries',
            f'tools/test.py {FAFA} {best} --overwrite --out {OUT}/fafa.json '
            f'--cfg-options test_evaluator.save_ranking={OUT}/ranking.json',
        ),
        ranking_step(OUT, 'Draw references, sentences and what FAFA finds'),
    ]


def summary(out: Path, seconds: dict[str, float]) -> str:
    """Put the results that the tools wrote into a table.

    Args:
        out (Path): Folder of the results.
        seconds (dict[str, float]): Time of each step, by name.

    Returns:
        str: Markdown.
    """
    results = {
        name: read_json(out / f'{name}.json')
        for name in {name for name, _ in ROWS.values()}
    }
    lines = [
        f'| query | {" | ".join(METRICS)} |',
        f'|---|{"---:|" * len(METRICS)}',
    ]
    for title, (name, row) in ROWS.items():
        cells = [f'{results[name][row + key]:.2f}' for key in METRICS]
        lines.append(f'| {title} | {" | ".join(cells)} |')
    own = ', '.join(
        f'{row} {results["fafa"][f"{row}/R@1"]:.2f}'
        for row in ('image', 'text', 'sum')
    )
    lines += ['', f"R@1 with FAFA's own encoder: {own}.", '', times(seconds)]
    return '\n'.join(lines)


def main() -> None:
    """Run the demo."""
    args = parse_args(__doc__)
    run_demo(
        OUT,
        lambda: [*missing_stages(args.seed), *training_steps(args.seed)],
        testing_steps,
        summary,
    )


if __name__ == '__main__':
    main()
