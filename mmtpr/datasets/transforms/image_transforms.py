"""Transforms for samples that may have no image."""

from collections.abc import Callable, Sequence
from typing import Any

from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.utils.images import MISSING, image_problem, missing_cure


@TRANSFORMS.register_module()
class ImageTransforms(BaseTransform):
    """Apply transforms to the image of a sample, if it has one.

    The queries of a text retrieval set have no image and pass unchanged.
    What goes wrong is reported with the name of the image. Where ``img_path``
    is a list, of a query with several references, so is ``img``.

    Required Keys: none

    Modified Keys: what the transforms modify

    Added Keys: what the transforms add, ``img`` above all

    Args:
        transforms (Sequence[dict | Callable]): Transforms, the first of
            which reads ``img_path``.
        mapping (dict, optional): Other names of keys inside the transforms:
            ``dict(img_path='reference_path', img='reference_img')`` reads
            ``reference_path`` and adds ``reference_img``, and keeps all
            other keys of the transforms to itself. Defaults to None.

    Examples:
        >>> transform = dict(
        ...     type='mmtpr.ImageTransforms',
        ...     transforms=[
        ...         dict(type='LoadImageFromFile'),
        ...         dict(type='Resize', scale=(128, 384)),
        ...     ],
        ... )
    """

    def __init__(
        self,
        transforms: Sequence[dict | Callable],
        mapping: dict | None = None,
    ) -> None:
        self.transforms = [
            TRANSFORMS.build(t) if isinstance(t, dict) else t
            for t in transforms
        ]
        self.mapping = dict(mapping or {})

    def transform(self, results: dict) -> dict | None:
        """Apply the transforms.

        Args:
            results (dict): A sample.

        Returns:
            dict | None: The sample; None if a transform gave up on it.

        Raises:
            FileNotFoundError: If the image does not exist.
            ValueError: If it cannot be read for another reason.
            RuntimeError: If a later transform fails.
        """
        path = results.get(self.mapping.get('img_path', 'img_path'))
        if path is None:
            return results
        if isinstance(path, list | tuple):
            return self._each(results, path)
        inner: Any = dict(results)
        for name, outer in self.mapping.items():
            inner.pop(name, None)
            if outer in results:
                inner[name] = results[outer]
        for transform in self.transforms:
            inner = self._apply(transform, inner, path)
            if inner is None:
                return None
        if not self.mapping:
            return inner
        made = {
            outer: inner[name]
            for name, outer in self.mapping.items()
            if name in inner
        }
        return {**results, **made}

    def _each(self, results: dict, paths: Sequence[str]) -> dict | None:
        """Read the images of a query that has several."""
        key = self.mapping.get('img_path', 'img_path')
        image = self.mapping.get('img', 'img')
        made = [self.transform({**results, key: path}) for path in paths]
        kept = [one for one in made if one is not None]
        if not kept or len(kept) < len(made):
            return None
        images = [one[image] for one in kept]
        return {**kept[0], key: list(paths), image: images}

    @staticmethod
    def _apply(transform: Callable, inner: dict, path: str) -> dict | None:
        loading = 'img' not in inner
        try:
            return transform(inner)
        except Exception as error:
            if not loading:
                raise RuntimeError(
                    f'{type(transform).__name__} failed on the image '
                    f'"{path}": {error}'
                ) from error
            problem = image_problem(path)
            if problem == MISSING:
                cure = missing_cure(
                    path,
                    'Check data_root and data_prefix in the config, or set '
                    'broken_images="skip" in the dataset',
                )
                raise FileNotFoundError(
                    f'The image "{path}" does not exist. {cure}'
                ) from error
            raise ValueError(
                f'The image "{path}" cannot be read: {problem or error}. '
                'Repair or replace the file, or set broken_images="skip" in '
                'the dataset to drop and count such images.'
            ) from error

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(transforms={self.transforms}, '
            f'mapping={self.mapping})'
        )
