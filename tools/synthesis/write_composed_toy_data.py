#!/usr/bin/env python
"""Write synthetic triplets and test sets of composed person retrieval.

python tools/synthesis/write_composed_toy_data.py --out data/toy_composed
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if (ROOT / 'mmtpr').is_dir():  # a source tree, installed or not
    sys.path.insert(0, str(ROOT))

from mmtpr.synthesis import (  # noqa: E402
    ComposedSettings,
    write_composed_toy_data,
)
from mmtpr.synthesis.command_line import (  # noqa: E402
    write_from_command_line,
)

OPTIONS = dict(
    seed='seed of everything',
    train='people of the triplets',
    val='people of the validation set',
    test='people of the test set',
    views='pictures of each outfit of the triplets',
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
