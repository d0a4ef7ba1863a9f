"""Inputs of a gate, and the comparison with the torch model that it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmtpr.utils.errors import LaunchError

from .towers import INPUTS, Tower

#: Least cosine of any vector with that of the torch model.
LEAST_COSINE = 0.9999
#: Random inputs come in batches of these sizes.
SIZES = (1, 3)
_BATCH = 16


@dataclass
class Compared:
    """How far the vectors of a tower are from those of the torch model.

    Attributes:
        cosine (float): Least cosine of a vector.
        difference (float): Greatest difference of a number.
        rows (int): Inputs that were compared.
    """

    cosine: float
    difference: float
    rows: int


def random_inputs(
    towers: Mapping[str, Tower], real: Mapping[str, Tensor], words: int
) -> dict[str, list[tuple[Tensor, ...]]]:
    """Draw inputs.

    Args:
        towers (Mapping[str, Tower]): The towers.
        real (Mapping[str, Tensor]): Real ``image`` and ``tokens``, whose
            shapes are taken.
        words (int): Words of the vocabulary.

    Returns:
        dict[str, list[tuple[Tensor, ...]]]: Batches by tower.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(name: str, number: int) -> Tensor:
        shape = (number, *real[name].shape[1:])
        if name == 'image':
            return torch.randn(shape, generator=generator)
        return torch.randint(1, words, shape, generator=generator)

    return {
        tower: [
            tuple(draw(name, number) for name in INPUTS[tower])
            for number in SIZES
        ]
        for tower in towers
    }


def real_batches(
    towers: Mapping[str, Tower], real: Mapping[str, Tensor]
) -> dict[str, list[tuple[Tensor, ...]]]:
    """Cut real inputs into batches; a query pairs images and captions.

    Args:
        towers (Mapping[str, Tower]): The towers.
        real (Mapping[str, Tensor]): ``image`` (M, 3, H, W) and ``tokens``
            (K, L).

    Returns:
        dict[str, list[tuple[Tensor, ...]]]: Batches by tower.
    """
    batches = {}
    for tower in towers:
        names = INPUTS[tower]
        number = max(len(real[name]) for name in names)
        index = torch.arange(number)
        whole = [real[name][index % len(real[name])] for name in names]
        batches[tower] = list(
            zip(*(part.split(_BATCH) for part in whole), strict=True)
        )
    return batches


@torch.no_grad()
def reference(
    towers: Mapping[str, nn.Module],
    batches: Mapping[str, Sequence[tuple[Tensor, ...]]],
) -> dict[str, list[tuple[Tensor, ...]]]:
    """Run the torch model.

    Args:
        towers (Mapping[str, nn.Module]): The towers.
        batches (Mapping): Inputs by tower.

    Returns:
        dict[str, list[tuple[Tensor, ...]]]: Outputs by tower.
    """
    return {
        name: [towers[name](*batch) for batch in given]
        for name, given in batches.items()
    }


def compare(
    run: Callable[[tuple[Tensor, ...]], Sequence[Tensor]],
    batches: Sequence[tuple[Tensor, ...]],
    wanted: Sequence[tuple[Tensor, ...]],
) -> Compared:
    """Compare a tower with the torch model.

    Args:
        run (Callable): From the inputs of a batch to outputs.
        batches (Sequence[tuple[Tensor, ...]]): Inputs.
        wanted (Sequence[tuple[Tensor, ...]]): Outputs of the torch model,
            features (B, ..., D) first.

    Returns:
        Compared: The comparison; a flag that differs, a vector of another
        shape or one that is not finite count as cosine 0.
    """
    worst, gap, rows = 1.0, 0.0, 0
    for batch, outputs in zip(batches, wanted, strict=True):
        found = run(batch)
        rows += len(batch[0])
        feats, want = found[0], outputs[0]
        same = feats.shape == want.shape and bool(feats.isfinite().all())
        flags = zip(found[1:], outputs[1:], strict=True)
        if not same or not all(torch.equal(a, b) for a, b in flags):
            worst, gap = 0.0, float('inf')
            continue
        cosine = torch.cosine_similarity(feats.double(), want.double(), dim=-1)
        worst = min(worst, float(cosine.min()))
        gap = max(gap, float((feats - want).abs().max()))
    return Compared(worst, gap, rows)


def check_gate(tower: str, kind: str, compared: Compared) -> None:
    """Stop at vectors that are not those of the torch model.

    Args:
        tower (str): Name of the tower.
        kind (str): Of the inputs.
        compared (Compared): The comparison.

    Raises:
        LaunchError: If a cosine is below :data:`LEAST_COSINE`.
    """
    if not compared.cosine >= LEAST_COSINE:
        raise LaunchError(
            f'The exported {tower} tower gives other vectors than the torch '
            f'model on {kind} inputs: the least cosine of '
            f'{compared.rows} is {compared.cosine:.6f}, and '
            f'{LEAST_COSINE} is required. Nothing was written; try another '
            '--opset, and report the model.'
        )
