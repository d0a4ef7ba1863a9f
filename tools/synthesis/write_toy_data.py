#!/usr/bin/env python
"""Write a synthetic pedestrian dataset.

python tools/synthesis/write_toy_data.py --out data/toy --seed 0
"""

from mmtpr.synthesis import ToySettings, write_toy_data
from mmtpr.synthesis.command_line import (
    write_from_command_line,
)

OPTIONS = dict(
    seed='seed of everything',
    train='people to train on, target set',
    val='people to validate on, target set',
    test='people to test on, target set',
    views='images of each person, target set',
    captions='captions of each image, target set',
    pretrain='people of the noisy pre-training set',
    pretrain_views='images of each person there',
    wrong='share of wrong captions in the pre-training set',
    pretrain_quality='cleanness of its images; 1 = target set',
)


def main() -> None:
    """Write the data unless it is there."""
    write_from_command_line(
        write_toy_data, ToySettings(), 'data/toy', OPTIONS, __doc__
    )


if __name__ == '__main__':
    main()
