"""Real images and captions for the gate of an export."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from torch import Tensor

from mmtpr.models.data_preprocessor import collate_for
from mmtpr.registry import DATASETS
from mmtpr.utils.config_parts import build_pipeline, find_pipeline
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.images import image_problem

#: Images, and captions, that are compared.
NUMBER = 32


@dataclass
class RealInputs:
    """Real images and captions, as a model reads them.

    Attributes:
        tensors (dict[str, Tensor]): ``image`` (M, 3, H, W), normalised, and
            ``tokens`` (K, L).
        captions (list[str]): The K captions.
        source (str): Where they are from.
    """

    tensors: dict[str, Tensor]
    captions: list[str]
    source: str


def given_inputs(
    model: Any, cfg: Config, images: Sequence[str], captions: Sequence[str]
) -> RealInputs:
    """Prepare images and captions that a user names.

    Args:
        model (nn.Module): The retriever.
        cfg (Config): Its config, whose pipeline of the test data is used.
        images (Sequence[str]): Paths.
        captions (Sequence[str]): Sentences.

    Returns:
        RealInputs: The inputs.

    Raises:
        LaunchError: If one side is empty, or an image cannot be read.
    """
    for what, found in (('images', images), ('sentences', captions)):
        if not found:
            raise LaunchError(
                f'There are no {what} to compare the exported model on: '
                'give --images and --sentences.'
            )
    for path in images:
        if problem := image_problem(path):
            raise LaunchError(f'The image "{path}" is of no use: {problem}.')
    facts = dict(pid=-1, image_id=-1)
    entries = [dict(role='gallery', img_path=str(p), **facts) for p in images]
    entries += [dict(role='query', caption=c, **facts) for c in captions]
    pipeline = build_pipeline(find_pipeline(cfg))
    packed = [pipeline(entry) for entry in entries]
    return _prepared(model, packed, 'the images and sentences given')


def dataset_inputs(
    model: Any, cfg: Config, number: int = NUMBER
) -> RealInputs:
    """Take images and captions of the test dataset of a config.

    Args:
        model (nn.Module): The retriever.
        cfg (Config): Its config.
        number (int): Images, and captions. Defaults to :data:`NUMBER`.

    Returns:
        RealInputs: The inputs.

    Raises:
        LaunchError: If the dataset is not on disk.
    """
    try:
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        packed = _spread(dataset, number)
    except (OSError, ValueError, LaunchError, AttributeError) as error:
        raise LaunchError(
            'The exported model has to be compared on real images and '
            f'sentences, and the test dataset is of no use ({error}). Give '
            '--images FOLDER and --sentences FILE.'
        ) from error
    return _prepared(model, packed, f'the test data, {type(dataset).__name__}')


def _spread(dataset: Any, number: int) -> list[dict]:
    """Samples from all of a dataset, as many of each role."""
    by_role: dict[str, list[int]] = {}
    for index in range(len(dataset)):
        role = dataset.get_data_info(index).get('role', '')
        by_role.setdefault(role, []).append(index)
    chosen = [
        places[i * len(places) // number]
        if len(places) > number
        else places[i]
        for places in by_role.values()
        for i in range(min(number, len(places)))
    ]
    return [dataset[index] for index in chosen]


def _prepared(model: Any, packed: list[dict], source: str) -> RealInputs:
    preprocessor = model.data_preprocessor
    batch = preprocessor(collate_for(preprocessor)(packed), False)
    inputs, samples = batch['inputs'], batch['data_samples']
    absent = [name for name in ('image', 'tokens') if name not in inputs]
    if absent:
        raise LaunchError(
            f'{source} have no {" and no ".join(absent)}: give --images '
            'FOLDER and --sentences FILE.'
        )
    rows = inputs['tokens_index'].tolist()
    captions = [samples[row].caption for row in rows]
    tensors = {name: inputs[name].cpu() for name in ('image', 'tokens')}
    return RealInputs(tensors, captions, source)
