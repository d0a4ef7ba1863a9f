"""ICFG-PEDES."""

from mmtpr.registry import DATASETS

from .text_person_dataset import TextPersonDataset


@DATASETS.register_module()
class ICFGPEDES(TextPersonDataset):
    """ICFG-PEDES (Ding et al., 2021): 4,102 persons, one caption an image.

    .. code-block:: none

        ICFG-PEDES.json  [{"split": "train", "captions": ["The man ..."],
                           "file_path": "train/0000/1.jpg", "id": 0,
                           "processed_tokens": [...]}, ...]

    It has no val split. Checkpoints are not to be chosen on test, so set
    training identities aside with ``val_pids`` in both datasets:

    .. code-block:: python

        train = dict(type='mmtpr.ICFGPEDES', split='train', val_pids=102)
        val = dict(type='mmtpr.ICFGPEDES', split='val', val_pids=102)

    The layout of APTM's ``icfg_train.json`` is read too.

    Args:
        ann_file (str): Annotation file. Defaults to ``'ICFG-PEDES.json'``.
        **kwargs: Arguments of :class:`TextPersonDataset`.
    """

    METAINFO = dict(dataset_name='ICFG-PEDES')
    layouts = ('reid_raw', 'aptm')

    def __init__(self, ann_file: str = 'ICFG-PEDES.json', **kwargs) -> None:
        super().__init__(ann_file=ann_file, **kwargs)
