"""A pipeline of diffusers: loaded once, asked for images of a known size."""

import inspect
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.fingerprint import path_fingerprint
from mmtpr.utils.lazy import require

from ..devices import chosen_device, named_dtype, numbered_device
from .lora import ADAPTER, load_lora

_OFFLOADS = {
    'model': 'enable_model_cpu_offload',
    'sequential': 'enable_sequential_cpu_offload',
}


class DiffusionModel:
    """Any pipeline of diffusers that makes images of texts.

    Needs the extra ``[synthesis]``.

    Args:
        model (str): Name at the hub or folder of the pipeline.
        steps (int): Steps of denoising.
        guidance (float): Guidance scale.
        dtype (str): Type of the weights. Defaults to ``'bfloat16'``.
        device (str, optional): Defaults to None: ``'cuda'`` where there is
            one.
        lora (str, optional): File, folder or name at the hub of a LoRA.
            Defaults to None.
        lora_file (str, optional): Name of the file in it. Defaults to None.
        offload (str, optional): ``'model'`` or ``'sequential'``: parts wait
            in main memory; slower, in less memory of the GPU. Defaults to
            None.
        compile (bool): Whether the denoiser is compiled. Defaults to False.
        call (Mapping[str, Any], optional): Further arguments of the pipeline.
            Defaults to None.
    """

    def __init__(
        self,
        model: str,
        steps: int,
        guidance: float,
        dtype: str = 'bfloat16',
        device: str | None = None,
        lora: str | None = None,
        lora_file: str | None = None,
        offload: str | None = None,
        compile: bool = False,
        call: Mapping[str, Any] | None = None,
    ) -> None:
        if offload not in (None, *_OFFLOADS):
            raise ValueError(
                f'offload must be None, {" or ".join(map(repr, _OFFLOADS))}, '
                f'got {offload!r}.'
            )
        named_dtype(dtype)
        self.model, self.steps, self.guidance = model, steps, guidance
        self.dtype, self.offload, self.compile = dtype, offload, compile
        self.lora, self.lora_file = lora, lora_file
        self.call = dict(call or {})
        self.device = chosen_device(device)
        self._beta: float | None = None

    def settings(self) -> dict[str, Any]:
        """Tell what decides the images.

        Returns:
            dict[str, Any]: Plain values, with fingerprints of local files.
        """
        lora = self.lora
        if lora and self.lora_file and os.path.isdir(lora):
            lora = os.path.join(lora, self.lora_file)
        return dict(
            model=self.model,
            model_content=path_fingerprint(self.model),
            steps=self.steps,
            guidance=self.guidance,
            dtype=self.dtype,
            lora=self.lora,
            lora_file=self.lora_file,
            lora_content=path_fingerprint(lora) if lora else None,
            call=self.call,
        )

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline, on its device, with the LoRA in it."""
        library = require('diffusers', 'synthesis', 'Rendering with diffusers')
        try:
            found = library.DiffusionPipeline.from_pretrained(
                self.model, dtype=named_dtype(self.dtype)
            )
        except Exception as error:  # of many libraries
            raise LaunchError(
                f'The pipeline "{self.model}" cannot be loaded: '
                f'{first_line(error)}'
            ) from error
        if 'prompt' not in inspect.signature(found.__call__).parameters:
            raise LaunchError(
                f'The pipeline "{self.model}" ({type(found).__name__}) makes '
                'no images of texts.'
            )
        if self.lora:  # before the parts are moved or compiled
            load_lora(found, self.model, self.lora, self.lora_file)
        self._place(found)
        found.set_progress_bar_config(disable=True)
        # What it says at every call about prompts is checked here.
        library.utils.logging.set_verbosity_error()
        return found

    def _place(self, pipeline: Any) -> None:
        if self.offload:
            if torch.device(self.device).type == 'cpu':
                raise LaunchError(
                    'offload moves parts between a GPU and main memory; there '
                    'is no GPU.'
                )
            offload = getattr(pipeline, _OFFLOADS[self.offload])
            offload(device=numbered_device(self.device))
        else:
            pipeline.to(self.device)
        if self.compile:
            part = getattr(pipeline, 'transformer', None) or pipeline.unet
            if getattr(part, '_repeated_blocks', None):
                part.compile_repeated_blocks()
            else:
                part.compile()

    def reads_whole(self, prompt: str) -> bool:
        """Tell whether a text encoder reads a prompt to its end.

        Args:
            prompt (str): The prompt.

        Returns:
            bool: False if all of them would cut it off.
        """
        tokenizers = [
            part
            for name, part in self.pipeline.components.items()
            if name.startswith('tokenizer') and part is not None
        ]
        if not tokenizers:
            return True
        longest = max(tokenizers, key=lambda one: one.model_max_length)
        number = len(longest(prompt)['input_ids'])
        return number <= longest.model_max_length

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        beta: float | None = None,
        image: Any = None,
    ) -> list[np.ndarray | None]:
        """Make images, each from a generator of its own.

        Args:
            prompts (Sequence[str]): N prompts.
            seeds (Sequence[int]): N seeds.
            size (tuple[int, int]): Height and width in pixels.
            beta (float, optional): Weight of the LoRA. Defaults to None: as
                it is in the file.
            image (PIL.Image, optional): What is edited. Defaults to None.

        Returns:
            list[ndarray | None]: RGB images, (H, W, 3), uint8; None for those
            that the pipeline's own filter refused.

        Raises:
            LaunchError: If the pipeline refuses the arguments, renders
                another size, or does not fit the memory.
        """
        pipeline, (height, width) = self.pipeline, size
        self._weigh(beta)
        wanted = dict(
            prompt=list(prompts),
            height=height,
            width=width,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            # On the CPU, so that every device starts from the same noise.
            generator=[
                torch.Generator('cpu').manual_seed(seed) for seed in seeds
            ],
            output_type='pil',
        )
        known = inspect.signature(pipeline.__call__).parameters
        if image is not None:
            wanted['image'] = image
        if 'max_area' in known:  # or it renders about a megapixel
            wanted['max_area'] = height * width
        try:
            with torch.inference_mode():
                found = pipeline(**(wanted | self.call))
        except torch.OutOfMemoryError as error:
            raise LaunchError(
                f'The GPU has no room for {len(prompts)} images of {height} x '
                f'{width}: set a smaller batch_size, or offload="model".'
            ) from error
        except (TypeError, ValueError) as error:
            raise LaunchError(
                f'The pipeline "{self.model}" refuses to render: '
                f'{first_line(error)}'
            ) from error
        refused = getattr(found, 'nsfw_content_detected', None)
        return [
            None if refused and refused[i] else self._array(one, size)
            for i, one in enumerate(found.images)
        ]

    def _weigh(self, beta: float | None) -> None:
        if beta is not None and beta != self._beta:
            self.pipeline.set_adapters([ADAPTER], [beta])
            self._beta = beta

    def _array(self, image: Any, size: tuple[int, int]) -> np.ndarray:
        if image.size != size[::-1]:
            raise LaunchError(
                f'The pipeline "{self.model}" renders {image.size[1]} x '
                f'{image.size[0]} (height x width) where {size[0]} x '
                f'{size[1]} was asked for. Set a height and width that it '
                'can, such as multiples of 16.'
            )
        return np.asarray(image.convert('RGB'))


def first_line(error: BaseException) -> str:
    """Shorten the message of an error of another library.

    Args:
        error (BaseException): The error.

    Returns:
        str: Its first line, as the end of a sentence.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0].strip() if lines else type(error).__name__
    return f'{text.rstrip(".")}.'
