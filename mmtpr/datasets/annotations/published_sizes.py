"""Published sizes of the datasets."""

from typing import NamedTuple


class Counts(NamedTuple):
    """Size of a split; None where nothing is published.

    Attributes:
        images (int): Images.
        captions (int): Captions.
        pids (int, optional): Identities.
    """

    images: int
    captions: int
    pids: int | None


#: By dataset and split. CUHK-PEDES: Li et al., CVPR 2017; ICFG-PEDES: Ding
#: et al., 2021; RSTPReid: Zhu et al., MM 2021; MALS: Yang et al., MM 2023.
PUBLISHED = {
    'CUHK-PEDES': {
        'train': Counts(34_054, 68_126, 11_003),
        'val': Counts(3_078, 6_158, 1_000),
        'test': Counts(3_074, 6_156, 1_000),
    },
    'ICFG-PEDES': {
        'train': Counts(34_674, 34_674, 3_102),
        'test': Counts(19_848, 19_848, 1_000),
    },
    'RSTPReid': {
        'train': Counts(18_505, 37_010, 3_701),
        'val': Counts(1_000, 2_000, 200),
        'test': Counts(1_000, 2_000, 200),
    },
    'MALS': {'train': Counts(1_510_330, 1_510_330, None)},
}
