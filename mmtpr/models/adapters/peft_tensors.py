"""The tensors of a folder of peft, layer by layer."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmtpr.checkpoints.files import read_weight_file
from mmtpr.utils.finite import refuse_not_finite

from .peft_layout import PREFIX

_ATTENTION = 'base_layer.out_proj'
_LEAVES = (
    *('lora_A.weight', 'lora_B.weight', 'oft_R.weight'),
    *('lora_magnitude_vector', 'lora_magnitude_vector.weight'),
    *('lora_wora_alpha', 'lora_wora_beta'),
)


class LayerTensors:
    """Tensors of one layer. Each is taken once, and none may be left.

    Args:
        name (str): Name of the layer, for messages.
        tensors (Mapping[str, Tensor]): By their names in the layer.
    """

    def __init__(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        self.name, self._left = name, dict(tensors)

    def __contains__(self, leaf: str) -> bool:
        return leaf in self._left

    def take(self, leaf: str, *shape: int | None) -> Tensor:
        """Take a tensor out.

        Args:
            leaf (str): Its name in the layer.
            *shape (int, optional): What its shape has to be; None for any
                length.

        Returns:
            Tensor: It.

        Raises:
            ValueError: If there is none, or it is of another shape, or of no
                floats.
        """
        tensor = self._pop(leaf)
        found = tuple(tensor.shape)
        fits = len(found) == len(shape) and all(
            want in (None, have)
            for want, have in zip(shape, found, strict=True)
        )
        if not fits:
            wanted = ', '.join('any' if n is None else str(n) for n in shape)
            raise ValueError(
                f'{leaf} of "{self.name}" has the shape {found} in the folder '
                f'of peft; this layer takes ({wanted}).'
            )
        return tensor

    def take_vector(self, leaf: str, length: int) -> Tensor:
        """Take a tensor out whose numbers count, in whatever shape.

        Args:
            leaf (str): Its name in the layer.
            length (int): How many numbers it has to hold.

        Returns:
            Tensor: Shape (length,).

        Raises:
            ValueError: If there is none, or it holds other numbers.
        """
        tensor = self._pop(leaf)
        if tensor.numel() != length:
            raise ValueError(
                f'{leaf} of "{self.name}" holds {tensor.numel()} numbers in '
                f'the folder of peft; this layer takes {length}.'
            )
        return tensor.reshape(length)

    def _pop(self, leaf: str) -> Tensor:
        if leaf not in self._left:
            raise ValueError(
                f'"{self.name}" has no {leaf} in the folder of peft.'
            )
        tensor = self._left.pop(leaf)
        if not tensor.is_floating_point():
            raise ValueError(
                f'{leaf} of "{self.name}" is of {tensor.dtype} in the folder '
                'of peft; an adapter is of floats.'
            )
        named = [(f'{leaf} of "{self.name}"', tensor)]
        refuse_not_finite(named, 'The folder of peft')
        return tensor

    def refuse_rest(self, kind: str) -> None:
        """Stop at tensors that were not taken.

        Args:
            kind (str): What the config says that the adapter is.

        Raises:
            ValueError: If some are left.
        """
        if self._left:
            raise ValueError(
                f'"{self.name}" holds {", ".join(sorted(self._left))} in the '
                f'folder of peft, which a {kind} there has not, and '
                f'adapter_config.json says that it is a {kind}. One of the '
                'two files is of another adapter.'
            )


def read_layers(folder: str | Path) -> dict[str, LayerTensors]:
    """Read the tensors of a folder; those of an attention are one layer.

    Args:
        folder (str | Path): Folder of an adapter of peft.

    Returns:
        dict[str, LayerTensors]: Tensors by the name of their layer.

    Raises:
        FileNotFoundError: If there is no file of weights.
        ValueError: If it is damaged, has no tensors or one that cannot be
            expressed.
    """
    state = _read_weights(Path(folder))
    if not state:
        raise ValueError(f'"{folder}" holds an adapter without any tensors.')
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in state.items():
        ending = next((x for x in _LEAVES if key.endswith(f'.{x}')), None)
        if not key.startswith(PREFIX) or ending is None:
            raise ValueError(
                f'"{folder}" holds "{key}", which cannot be expressed in '
                'mmtpr.'
            )
        name = key.removeprefix(PREFIX).removesuffix(f'.{ending}')
        leaf = ending.removesuffix('.weight')
        if name.endswith(f'.{_ATTENTION}'):
            name, leaf = name.removesuffix(f'.{_ATTENTION}'), f'out.{leaf}'
        if leaf in layers[name]:
            raise ValueError(f'"{folder}" holds {leaf} of "{name}" twice.')
        layers[name][leaf] = tensor
    return {name: LayerTensors(name, own) for name, own in layers.items()}


def _read_weights(folder: Path) -> dict[str, Tensor]:
    for name in ('adapter_model.safetensors', 'adapter_model.bin'):
        if (folder / name).is_file():
            return read_weight_file(folder / name)
    raise FileNotFoundError(
        f'"{folder}" has neither adapter_model.safetensors nor '
        'adapter_model.bin, in which peft keeps the weights.'
    )


def own_a(name: str, a: Tensor, conv: nn.Conv2d) -> Tensor:
    """A over all inputs as one a group, as it is held here.

    Args:
        name (str): Name of the layer, for the message.
        a (Tensor): Shape (r, in, h, w).
        conv (nn.Conv2d): The convolution.

    Returns:
        Tensor: Shape (r, in / g, h, w).

    Raises:
        ValueError: If it looks at inputs of other groups, or the groups do
            not divide the rank.
    """
    groups = conv.groups
    if groups == 1:
        return a
    if len(a) % groups:
        raise ValueError(
            f'The {groups} groups of the convolution "{name}" do not divide '
            f'the rank {len(a)} of its tensors.'
        )
    parts = a.unflatten(0, (groups, -1)).unflatten(2, (groups, -1))
    # (g, r / g, g, in / g, h, w)
    own = torch.stack([parts[g, :, g] for g in range(groups)])
    if own.count_nonzero() != a.count_nonzero():
        raise ValueError(
            f'The factor A of "{name}" looks at all inputs, and the '
            f'convolution has {groups} groups: peft adds more than a '
            'kernel of these groups holds, which cannot be expressed.'
        )
    return own.flatten(0, 1)
