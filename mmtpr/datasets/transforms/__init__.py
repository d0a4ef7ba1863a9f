"""Data transforms. mmcv's are registered too, by importing them."""

import mmcv.transforms  # noqa: F401

from .caption_eda import CaptionEDA
from .clean_person_caption import CleanPersonCaption
from .colour_policies import AutoContrast, Brightness, Equalize
from .corrupt_query import CorruptQuery
from .image_transforms import ImageTransforms
from .load_image import LoadImage
from .mask_bert_tokens import MaskBertTokens
from .mask_tokens import MaskTokens
from .pack_retrieval_inputs import PackRetrievalInputs
from .pad_crop import PadCrop
from .perturb_tokens import PerturbTokens
from .random_erasing_mean import RandomErasingMean
from .resize_bicubic import ResizeBicubic
from .shared_flip import SharedFlip
from .square_pad import SquarePad
from .tokenize_bert import TokenizeBert
from .tokenize_caption import TokenizeCaption

__all__ = [
    'AutoContrast',
    'Brightness',
    'CaptionEDA',
    'CleanPersonCaption',
    'CorruptQuery',
    'Equalize',
    'ImageTransforms',
    'LoadImage',
    'MaskBertTokens',
    'MaskTokens',
    'PackRetrievalInputs',
    'PadCrop',
    'PerturbTokens',
    'RandomErasingMean',
    'ResizeBicubic',
    'SharedFlip',
    'SquarePad',
    'TokenizeBert',
    'TokenizeCaption',
]
