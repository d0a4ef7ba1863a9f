"""Lines that somebody has to see."""

import logging

from mmengine.logging import print_log


def warn(line: str) -> None:
    """Write a warning to the log of the run.

    Args:
        line (str): What is amiss, how many, and what to do.
    """
    print_log(line, logger='current', level=logging.WARNING)
