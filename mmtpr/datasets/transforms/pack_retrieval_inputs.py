"""The last step of a pipeline."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.structures import RetrievalDataSample, text_fields

_META_KEYS = (
    'role',
    'pid',
    'instance_id',
    'image_id',
    'label_hat',
    'img_path',
    'reference_path',
    'caption',
    'caption_cut',
    'negative_text',
    'negative_text_cut',
    'negative_weight',
    'attributes',
    'sample_idx',
)


@TRANSFORMS.register_module()
class PackRetrievalInputs(BaseTransform):
    """Pack a sample for the retriever's data preprocessor.

    Gives ``dict(inputs=dict(image=Tensor), data_samples=...)``; the image is
    (C, H, W) of the type it had, uint8 as a rule, (K, C, H, W) of a query of
    K images, and None where the sample has none. Facts go into the meta
    information of the data sample, token ids into its fields; what a sample
    lacks is left out.

    Required Keys: none

    Args:
        image_keys (dict): Key of the image by name of the input. Defaults
            to ``dict(image='img')``.
        token_keys (Sequence[str], optional): Keys of tensors to keep.
            Defaults to None: the text fields of
            :class:`RetrievalDataSample`.
        meta_keys (Sequence[str]): Keys of facts to keep.
    """

    def __init__(
        self,
        image_keys: dict[str, str] | None = None,
        token_keys: Sequence[str] | None = None,
        meta_keys: Sequence[str] = _META_KEYS,
    ) -> None:
        self.image_keys = dict(image_keys or dict(image='img'))
        self.token_keys = tuple(
            text_fields() if token_keys is None else token_keys
        )
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack the sample.

        Args:
            results (dict): A sample.

        Returns:
            dict: With ``inputs`` and ``data_samples``.
        """
        meta = {k: results[k] for k in self.meta_keys if k in results}
        sample = RetrievalDataSample(metainfo=meta)
        for key in self.token_keys:
            if results.get(key) is not None:
                setattr(sample, key, torch.as_tensor(results[key]))
        inputs = {
            name: _to_tensor(results.get(key))
            for name, key in self.image_keys.items()
        }
        return dict(inputs=inputs, data_samples=sample)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(image_keys={self.image_keys}, '
            f'token_keys={self.token_keys}, meta_keys={self.meta_keys})'
        )


def _to_tensor(
    img: np.ndarray | list[np.ndarray] | None,
) -> torch.Tensor | None:
    if img is None:
        return None
    if isinstance(img, list):
        sizes = sorted({one.shape[:2] for one in img})
        if len(sizes) > 1:
            raise ValueError(
                f'The images of one query differ in size (height x width): '
                f'{sizes}. Add a Resize with keep_ratio=False to the pipeline.'
            )
        return torch.stack([_plane_tensor(one) for one in img])  # (K, C, H, W)
    return _plane_tensor(img)


def _plane_tensor(img: np.ndarray) -> torch.Tensor:
    if img.ndim == 2:
        return torch.from_numpy(np.array(img[None]))  # (1, H, W)
    planes = np.empty((img.shape[2], *img.shape[:2]), img.dtype)  # (C, H, W)
    if img.dtype == np.uint8 and len(planes) in (3, 4):
        cv2.split(img, list(planes))  # several times as quick as numpy
    else:
        planes[:] = img.transpose(2, 0, 1)
    return torch.from_numpy(planes)
