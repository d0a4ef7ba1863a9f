"""RSTPReid."""

from mmtpr.registry import DATASETS

from .text_person_dataset import TextPersonDataset


@DATASETS.register_module()
class RSTPReid(TextPersonDataset):
    """RSTPReid (Zhu et al., MM 2021): 4,101 persons, 5 images of each.

    .. code-block:: none

        data_captions.json  [{"id": 0, "img_path": "0000_c14_0031.jpg",
                              "captions": ["A man ...", "..."],
                              "split": "train"}, ...]

    The layout of APTM's ``rstp_train.json`` is read too.

    Args:
        ann_file (str): Annotation file. Defaults to
            ``'data_captions.json'``.
        **kwargs: Arguments of :class:`TextPersonDataset`.
    """

    METAINFO = dict(dataset_name='RSTPReid')
    layouts = ('data_captions', 'aptm')

    def __init__(self, ann_file: str = 'data_captions.json', **kwargs) -> None:
        super().__init__(ann_file=ann_file, **kwargs)
