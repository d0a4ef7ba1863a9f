"""PA-100K, pedestrians with 26 attributes."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmtpr.registry import DATASETS
from mmtpr.utils.lazy import require

from .annotations.records import read_records
from .annotations.splits import SPLITS
from .frugal_dataset import FrugalDataset, drain, image_prefix

# Page of the documentation, named by errors.
_GUIDE = 'docs/user_guides/reranking.md'
#: Names in the order of the labels, as the annotation file has them.
PA100K_ATTRIBUTES = (
    'Female',
    'AgeOver60',
    'Age18-60',
    'AgeLess18',
    'Front',
    'Side',
    'Back',
    'Hat',
    'Glasses',
    'HandBag',
    'ShoulderBag',
    'Backpack',
    'HoldObjectsInFront',
    'ShortSleeve',
    'LongSleeve',
    'UpperStride',
    'UpperLogo',
    'UpperPlaid',
    'UpperSplice',
    'LowerStripe',
    'LowerPattern',
    'LongCoat',
    'Trousers',
    'Shorts',
    'Skirt&Dress',
    'boots',
)


@DATASETS.register_module()
class PA100K(FrugalDataset):
    """PA-100K (Liu et al., ICCV 2017): 80,000 / 10,000 / 10,000 images.

    The annotations are those of the owners or the json files of APTM, one a
    split:

    .. code-block:: none

        annotation.mat     train_images_name, train_label, val_..., test_...
        PA100K_train.json  [{"image": "000001.jpg", "label": [0, 1, ...]}, ...]

    Samples are ``dict(role, img_path, image_id, attributes)``, the role
    ``'train'`` for the training split and ``'gallery'`` for the others;
    ``attributes`` is a list of 0 and 1. There are no identities. ``metainfo``
    says ``dataset_name``, ``split``, ``attributes`` (names) and
    ``num_attributes``.

    Args:
        ann_file (str): ``.mat`` or ``.json``, relative to ``data_root``.
            Defaults to ``'annotation.mat'``.
        data_root (str): Folder of the dataset. Defaults to ''.
        data_prefix (dict, optional): Image folder, relative to
            ``data_root``. Defaults to ``dict(img_path='release_data')``.
        split (str): ``'train'``, ``'val'`` or ``'test'``; a json file is one
            split as a whole. Defaults to ``'train'``.
        **kwargs: Further arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: If the annotation file or image folder is absent.
        ValueError: Naming file, record and key of malformed annotations.
    """

    METAINFO = dict(
        dataset_name='PA-100K',
        attributes=PA100K_ATTRIBUTES,
        num_attributes=len(PA100K_ATTRIBUTES),
    )
    lists_full_paths = True

    def __init__(
        self,
        ann_file: str = 'annotation.mat',
        data_root: str = '',
        data_prefix: dict | None = None,
        split: str = 'train',
        **kwargs,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(
                f'split={split!r} of PA100K must be one of {SPLITS}.'
            )
        self.split = split
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=image_prefix(data_prefix, 'release_data'),
            **kwargs,
        )
        self._metainfo['split'] = split

    def load_samples(self) -> Iterable[dict]:
        """Read the annotations of the split.

        Returns:
            Iterable[dict]: Samples, paths relative to the image folder.
        """
        root = self.data_prefix['img_path'] or '.'
        if '://' not in root and not os.path.isdir(root):
            raise FileNotFoundError(
                f'The image folder "{root}" of PA100K does not exist. Check '
                f'data_root and data_prefix in the config. See {_GUIDE}.'
            )
        role = 'train' if self.split == 'train' else 'gallery'
        return (
            dict(role=role, img_path=name, image_id=index, attributes=labels)
            for index, (name, labels) in enumerate(drain(self._read()))
        )

    def _read(self) -> list[tuple[str, Sequence[int]]]:
        """Name and labels of each image."""
        if str(self.ann_file).endswith('.mat'):
            names, labels = self._read_mat()
        else:
            names, labels = _from_json(str(self.ann_file))
        for index, values in enumerate(labels):
            if len(values) != len(PA100K_ATTRIBUTES) or not {0, 1}.issuperset(
                values
            ):
                raise ValueError(
                    f'Record {index} of "{self.ann_file}" must have '
                    f'{len(PA100K_ATTRIBUTES)} attributes of 0 or 1, found '
                    f'{len(values)}: {str(values)[:60]}. See {_GUIDE}.'
                )
        return list(zip(names, labels, strict=True))

    def _read_mat(self) -> tuple[list[str], list[Sequence[int]]]:
        path = str(self.ann_file)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f'The PA-100K annotation file "{path}" does not exist. Check '
                f'data_root and ann_file in the config. See {_GUIDE}.'
            )
        keys = (f'{self.split}_images_name', f'{self.split}_label')
        found = _load_mat(path, keys)
        absent = [key for key in keys if key not in found]
        if absent:
            raise ValueError(
                f'"{path}" has no variable {" and ".join(absent)}, which the '
                f'annotations of PA-100K have. See {_GUIDE}.'
            )
        names = [_text(cell) for cell in np.atleast_1d(found[keys[0]])]
        labels = np.atleast_2d(found[keys[1]])
        if labels.ndim != 2 or len(labels) != len(names):
            raise ValueError(
                f'"{path}" has {len(names)} names in {keys[0]}, but labels '
                f'of shape {labels.shape} in {keys[1]}. See {_GUIDE}.'
            )
        return names, labels.astype(int).tolist()


def _load_mat(path: str, names: tuple[str, ...]) -> dict[str, Any]:
    loadmat = require('scipy.io', 'pa100k', 'An annotation in .mat').loadmat
    try:
        return loadmat(path, variable_names=names, simplify_cells=True)
    except Exception as error:  # whatever scipy meets in a damaged file
        raise ValueError(
            f'"{path}" cannot be read as a MATLAB file of version 5 to 7 '
            f'({error}). Download it again, or save it in MATLAB with -v7.'
        ) from error


def _text(cell: Any) -> str:
    """Name of an image."""
    if not isinstance(cell, str) or not cell:
        raise ValueError(
            f'The names of PA-100K images must be text, found {cell!r}. '
            f'See {_GUIDE}.'
        )
    return str(cell)


def _from_json(path: str) -> tuple[list[str], list[Sequence[int]]]:
    records = read_records(path, 'PA-100K annotation file')
    for index, record in enumerate(records):
        keys = set(record) if isinstance(record, dict) else set()
        absent = [key for key in ('image', 'label') if key not in keys]
        if absent or not isinstance(record['label'], list):
            raise ValueError(
                f'Record {index} of "{path}" has no list of attribute labels '
                f'with an image (keys "image" and "label"); it has '
                f'{", ".join(sorted(map(str, keys))) or "no keys"}. '
                f'See {_GUIDE}.'
            )
    return [r['image'] for r in records], [r['label'] for r in records]
