#!/usr/bin/env python
"""Write synthetic triplets and test sets of composed person retrieval.

python tools/synthesis/write_composed_toy_data.py --out data/toy_composed
"""

from mmtpr.synthesis import (
    ComposedSettings,
    write_composed_toy_data,
)
from mmtpr.synthesis.command_line import (
    write_from_command_line,
)

OPTIONS = dict(
    seed='seed of everything',
    train='people of the triplets',
    val='people of the validation set',
    test='people of the test set',
    views='images of each outfit of the triplets',
    changes='queries of each person of val and test',
)


def main() -> None:
    """Write the data unless they are there."""
    write_from_command_line(
        write_composed_toy_data,
        ComposedSettings(),
        'data/toy_composed',
        OPTIONS,
        __doc__,
    )


if __name__ == '__main__':
    main()
