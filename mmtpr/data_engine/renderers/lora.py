"""A LoRA in a pipeline of diffusers: it fits as a whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from mmtpr.utils.errors import LaunchError

#: Name of the LoRA in the pipeline.
ADAPTER = 'person'


def load_lora(
    pipeline: Any, name: str, source: str, file: str | None = None
) -> None:
    """Load a LoRA and see that all of it went in.

    Layers that a pipeline does not have would be left out with a warning.

    Args:
        pipeline (DiffusionPipeline): The pipeline.
        name (str): What it is called, for the message.
        source (str): File, folder or name at the hub.
        file (str, optional): Name of the file in the folder. Defaults to
            None.

    Raises:
        LaunchError: If it cannot be read or does not fit.
    """
    if not hasattr(pipeline, 'load_lora_weights'):
        raise LaunchError(
            f'The pipeline "{name}" ({type(pipeline).__name__}) takes no LoRA.'
        )
    folder = source
    if Path(source).is_absolute() and not Path(source).exists():
        raise LaunchError(f'The LoRA "{source}" does not exist.')
    if Path(source).is_file():
        folder, file = str(Path(source).parent), Path(source).name
    try:
        state = pipeline.lora_state_dict(folder, weight_name=file)
    except Exception as error:  # of many libraries
        why = str(error).strip().split('\n')[0].rstrip('.')
        raise LaunchError(
            f'The LoRA "{source}" cannot be read: {why}.'
        ) from error
    state = state[0] if isinstance(state, tuple) else state
    wanted = sum(key.endswith('lora_A.weight') for key in state)
    try:
        pipeline.load_lora_weights(
            folder, weight_name=file, adapter_name=ADAPTER
        )
    except Exception as error:  # likewise
        why = str(error).strip().split('\n')[-1].strip().rstrip('.')
        raise LaunchError(
            f'The LoRA "{source}" does not fit the pipeline "{name}": {why}.'
        ) from error
    found = _count_layers(pipeline)
    if not found or found < wanted:
        raise LaunchError(
            f'The LoRA "{source}" does not fit the pipeline "{name}": '
            f'{found} of its {wanted} layers are there.'
        )


def _count_layers(pipeline: Any) -> int:
    parts = pipeline.components.values()
    return sum(
        ADAPTER in getattr(module, 'lora_A', ())
        for part in parts
        if isinstance(part, torch.nn.Module)
        for module in part.modules()
    )
