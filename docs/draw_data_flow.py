"""Draw ``docs/_static/data_flow.png``, the image of code_layout.md.

python docs/draw_data_flow.py
"""

from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

OUT = Path(__file__).parent / '_static/data_flow.png'
WIDE, HIGH = 2.5, 0.86
CODE, FILE = '#dbe7f5', '#fdf2cf'

# Name -> centre (x, y), title, what it is, colour.
BOXES = {
    'files': (1.4, 4.6, 'annotations, images', 'files of a dataset', FILE),
    'datasets': (4.6, 4.6, 'datasets', 'samples', CODE),
    'transforms': (
        7.8,
        4.6,
        'datasets/transforms',
        'tensors, token ids',
        CODE,
    ),
    'model': (
        11.0,
        4.6,
        'models/retrievers',
        'a batch in, features out',
        CODE,
    ),
    'losses': (14.2, 5.9, 'models/losses', 'train: numbers', CODE),
    'metrics': (14.2, 4.6, 'evaluation', 'test: R@k, mAP, mINP', CODE),
    'apis': (14.2, 3.3, 'apis', 'use: a ranking', CODE),
    'engine': (14.2, 7.2, 'engine', 'hooks, loops, checkpoints', CODE),
    'draw': (14.2, 2.0, 'visualization', 'images of rankings', CODE),
    'synthesis': (1.4, 5.9, 'synthesis', 'persons by a program', CODE),
    'text': (7.8, 5.9, 'text', 'tokenizers', CODE),
    'filtering': (4.6, 3.3, 'filtering', 'a score of each pair', CODE),
    'scores': (1.4, 3.3, 'relevance.npz', 'scores', FILE),
    'encoder': (11.0, 3.3, 'models/encoders', '+ models/adapters', CODE),
    'weights': (11.0, 2.0, 'checkpoints', 'read, compare, load', CODE),
    'convert': (7.8, 2.0, 'converters', 'rename keys', CODE),
    'published': (4.6, 2.0, 'a published checkpoint', '.pth', FILE),
}
# From, to, and on which sides they meet.
ARROWS = [
    ('files', 'datasets', 'right', 'left'),
    ('datasets', 'transforms', 'right', 'left'),
    ('transforms', 'model', 'right', 'left'),
    ('model', 'losses', 'right', 'left'),
    ('model', 'metrics', 'right', 'left'),
    ('model', 'apis', 'right', 'left'),
    ('losses', 'engine', 'top', 'bottom'),
    ('apis', 'draw', 'bottom', 'top'),
    ('synthesis', 'files', 'bottom', 'top'),
    ('text', 'transforms', 'bottom', 'top'),
    ('datasets', 'filtering', 'bottom', 'top'),
    ('filtering', 'scores', 'left', 'right'),
    ('scores', 'datasets', 'top', 'bottom'),
    ('encoder', 'model', 'top', 'bottom'),
    ('encoder', 'filtering', 'left', 'right'),
    ('published', 'convert', 'right', 'left'),
    ('convert', 'weights', 'right', 'left'),
    ('weights', 'encoder', 'top', 'bottom'),
]
SIDES = {
    'left': (-WIDE / 2, 0),
    'right': (WIDE / 2, 0),
    'top': (0, HIGH / 2),
    'bottom': (0, -HIGH / 2),
}


def edge(name: str, side: str) -> tuple[float, float]:
    """Middle of a side of a box."""
    x, y = BOXES[name][:2]
    dx, dy = SIDES[side]
    return x + dx, y + dy


def main() -> None:
    """Draw."""
    figure, axes = plt.subplots(figsize=(15.6, 6.4))
    for x, y, title, what, colour in BOXES.values():
        axes.add_patch(
            FancyBboxPatch(
                (x - WIDE / 2, y - HIGH / 2),
                WIDE,
                HIGH,
                boxstyle='round,pad=0,rounding_size=0.12',
                facecolor=colour,
                edgecolor='#555555',
            )
        )
        axes.text(x, y + 0.16, title, ha='center', va='center', size=12.5)
        axes.text(
            x, y - 0.2, what, ha='center', va='center', size=11, color='#444'
        )
    for start, end, leaves, enters in ARROWS:
        axes.annotate(
            '',
            edge(end, enters),
            edge(start, leaves),
            arrowprops=dict(arrowstyle='-|>', color='#333333', lw=1.4),
        )
    axes.set(xlim=(0, 15.6), ylim=(1.4, 7.8))
    axes.axis('off')
    figure.subplots_adjust(0, 0, 1, 1)
    figure.savefig(OUT, dpi=100, metadata={'Software': None})


if __name__ == '__main__':
    main()
