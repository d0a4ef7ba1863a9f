#!/usr/bin/env python
"""Draw queries with the images found for them, as one PNG.

From a config and a checkpoint, which are tested first, or from the file that
``PersonRetrievalMetric(save_ranking=...)`` wrote:

    visualize_ranking.py CONFIG CKPT --num 6 --select worst --out worst.png
    visualize_ranking.py --ranking ranking.json --queries 0 5 7
"""

import argparse
import random
import tempfile
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_allow_partial,
    add_config_options,
    add_overwrite,
    check_output,
)

ROOT = Path(__file__).resolve().parents[2]

SELECTIONS = ('first', 'random', 'best', 'worst')
METRICS = ('PersonRetrievalMetric', 'ComposedRetrievalMetric')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', nargs='?', help='path of the config')
    parser.add_argument('checkpoint', nargs='?', help='path of the checkpoint')
    parser.add_argument('--ranking', help='saved ranked lists; nothing is run')
    parser.add_argument('--out', default='ranking.png', help='PNG to write')
    parser.add_argument(
        '--queries', type=int, nargs='+', help='numbers of queries, from 0'
    )
    parser.add_argument(
        '--num', type=int, default=6, help='how many queries --select takes'
    )
    parser.add_argument(
        '--select',
        choices=SELECTIONS,
        default='random',
        help='which queries, if --queries does not say; best and worst go by '
        'the rank of the first match, then by average precision',
    )
    parser.add_argument('--seed', type=int, default=0, help='of --select')
    parser.add_argument(
        '--topk', type=int, default=10, help='images for each query'
    )
    parser.add_argument(
        '--image-root', help='folder that relative paths of images start at'
    )
    parser.add_argument('--work-dir', help='folder for the logs of the test')
    add_overwrite(parser)
    add_allow_partial(parser)
    add_config_options(parser)
    args = parser.parse_args()
    if bool(args.ranking) == bool(args.config and args.checkpoint):
        parser.error('give CONFIG and CKPT, or --ranking FILE')
    if args.num < 1 or args.topk < 1:
        parser.error('--num and --topk must be at least 1')
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.config import Config

from mmtpr.engine import launch
from mmtpr.evaluation import read_ranking
from mmtpr.visualization import draw_rankings, save_png


def make_ranking(args: argparse.Namespace) -> dict:
    """Test the checkpoint and read the ranked lists."""
    launch.require_checkpoint(args.checkpoint)
    cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    launch.set_work_dir(cfg, args.work_dir, args.config)
    launch.use_checkpoint(cfg, args.checkpoint, args.allow_partial)
    cfg.launcher = 'none'
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, 'ranking.json'))
        metric = find_metric(cfg)
        metric.update(save_ranking=file, save_topk=args.topk)
        launch.tidy(cfg)
        launch.build_runner(cfg).test()
        return read_ranking(file)


def find_metric(cfg: Config) -> dict:
    """Config of the metric that ranks."""
    if not cfg.get('test_dataloader'):
        raise LaunchError(f'"{cfg.filename}" has no test_dataloader.')
    evaluators = cfg.get('test_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = evaluators.get('metrics', [evaluators])
    for evaluator in evaluators:
        kind = evaluator['type']
        name = kind if isinstance(kind, str) else kind.__name__
        if name.rpartition('.')[2] in METRICS:
            return evaluator
    raise LaunchError(
        f'"{cfg.filename}" has no {" or ".join(METRICS)} in test_evaluator.'
    )


def choose(queries: list[dict], args: argparse.Namespace) -> list[dict]:
    """Take the queries to be drawn."""
    if args.queries is not None:
        wrong = [i for i in args.queries if not 0 <= i < len(queries)]
        if wrong:
            raise LaunchError(
                f'--queries {wrong[0]}: there are queries from 0 to '
                f'{len(queries) - 1}.'
            )
        return [queries[i] for i in args.queries]
    if args.select == 'first':
        return queries[: args.num]
    shuffled = random.Random(args.seed).sample(queries, len(queries))
    if args.select == 'random':
        return shuffled[: args.num]
    # Among equals the shuffled order decides, not that of the dataset.
    able = [query for query in shuffled if query['first_rank']]
    worst = args.select == 'worst'
    sign = -1 if worst else 1
    able.sort(key=lambda q: (sign * q['first_rank'], -sign * q['AP']))
    return able[: args.num]


def main() -> None:
    """Draw."""
    args = parse_args()
    with launch.short_errors():
        read = [args.ranking, args.config, args.checkpoint]
        check_output(args.out, args.overwrite, read)
        if args.ranking:
            content = read_ranking(args.ranking)
        else:
            content = make_ranking(args)
        queries = choose(content['queries'], args)
        save_png(draw_rankings(queries, args.topk, args.image_root), args.out)
    print(f'{args.out}: {len(queries)} queries')


if __name__ == '__main__':
    main()
