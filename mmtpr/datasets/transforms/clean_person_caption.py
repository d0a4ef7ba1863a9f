"""Tidying captions."""

import re
import unicodedata

from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.text.characters import replace_control_characters


@TRANSFORMS.register_module()
class CleanPersonCaption(BaseTransform):
    """Lower-case a caption and take control characters out.

    CLIP's tokenizer lower-cases and collapses white space by itself; what
    this adds for it are the control characters found in crowd-sourced
    captions and the two options. A sample without caption passes unchanged.

    Required Keys: none

    Modified Keys: the caption

    Args:
        lower (bool): Whether to lower-case. Defaults to True.
        strip_punctuation (bool): Whether only letters and digits stay, what
            APTM does for ICFG-PEDES and RSTPReid. Defaults to False.
        max_words (int, optional): Words to keep. Defaults to None, all.
        key (str): Key of the caption. Defaults to ``'caption'``.
    """

    def __init__(
        self,
        lower: bool = True,
        strip_punctuation: bool = False,
        max_words: int | None = None,
        key: str = 'caption',
    ) -> None:
        self.lower = lower
        self.strip_punctuation = strip_punctuation
        self.max_words = max_words
        self.key = key

    def transform(self, results: dict) -> dict:
        """Clean the caption.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        caption = results.get(self.key)
        if caption is None:
            return results
        caption = unicodedata.normalize('NFC', caption)
        caption = replace_control_characters(caption)
        if self.lower:
            caption = caption.lower()
        if self.strip_punctuation:
            caption = re.sub(r'[\W_]+', ' ', caption)
        results[self.key] = ' '.join(caption.split()[: self.max_words])
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(lower={self.lower}, '
            f'strip_punctuation={self.strip_punctuation}, '
            f'max_words={self.max_words}, key={self.key!r})'
        )
