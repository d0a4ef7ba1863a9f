"""What a record is about, drawn from lists before anything is written."""

from collections.abc import Mapping, Sequence

import numpy as np

_STREAM = 31

Lists = Mapping[str, Sequence[str]]


def check_lists(lists: Lists) -> None:
    """Check lists of a config.

    Args:
        lists (Mapping[str, Sequence[str]]): Values by field.

    Raises:
        ValueError: If one is empty or holds something else than texts.
    """
    if not isinstance(lists, Mapping):
        raise ValueError(
            'metadata must be a dict of lists, such as '
            f'dict(age=["young", "old"]), got {lists!r}.'
        )
    for name, values in lists.items():
        is_list = isinstance(values, list | tuple) and len(values) > 0
        if not is_list or not all(isinstance(v, str) for v in values):
            raise ValueError(
                f'metadata.{name} must be a list of texts, got {values!r}.'
            )


def sample_metadata(lists: Lists, index: int, seed: int) -> dict[str, str]:
    """Draw the metadata of a record.

    Evenly: of any values of a field as many records in a row as the field has
    values take each once, in another order each time. Fields are independent.

    Args:
        lists (Mapping[str, Sequence[str]]): Values by field.
        index (int): Index of the record.
        seed (int): Seed of the run.

    Returns:
        dict[str, str]: A value for each field.

    Examples:
        >>> lists = dict(age=['young', 'old'])
        >>> sorted(sample_metadata(lists, i, 0)['age'] for i in range(4))
        ['old', 'old', 'young', 'young']
    """
    found = {}
    for field, (name, values) in enumerate(lists.items()):
        turn, place = divmod(index, len(values))
        rng = np.random.default_rng([seed, _STREAM, field, turn])
        found[name] = values[int(rng.permutation(len(values))[place])]
    return found


def record_seed(seed: int, *keys: int) -> int:
    """Derive a seed of its own for a part of a run.

    Args:
        seed (int): Seed of the run.
        *keys (int): Which part.

    Returns:
        int: From 0 to 2**31 - 1, which every library takes.
    """
    state = np.random.SeedSequence([seed, *keys]).generate_state(1)
    return int(state[0] >> 1)
