"""Colours of clothes, hair and skin, RGB in [0, 255]."""

import numpy as np

CLOTHES = {
    'black': (34, 33, 38),
    'white': (232, 231, 226),
    'grey': (132, 133, 136),
    'red': (186, 38, 42),
    'blue': (46, 78, 168),
    'green': (48, 124, 66),
    'yellow': (228, 196, 56),
    'purple': (112, 58, 146),
    'pink': (230, 146, 176),
    'orange': (226, 116, 38),
    'brown': (112, 74, 46),
}
HAIR = {
    'black': (30, 26, 26),
    'brown': (92, 60, 38),
    'blond': (214, 178, 104),
    'grey': (168, 166, 164),
    'red': (166, 72, 30),
}
SKIN = ((241, 205, 176), (224, 172, 135), (188, 132, 94), (120, 80, 58))


def shade(
    colour: tuple[int, int, int], rng: np.random.Generator, spread: float
) -> np.ndarray:
    """Vary a colour.

    Args:
        colour (tuple[int, int, int]): Red, green and blue in [0, 255].
        rng (Generator): Source of randomness.
        spread (float): Standard deviation of the change, in grey levels.

    Returns:
        ndarray: The colour, (3, ), float in [0, 255].
    """
    common, single = rng.normal(0, spread, 1), rng.normal(0, spread / 2, 3)
    return np.clip(np.asarray(colour, float) + common + single, 0, 255)
