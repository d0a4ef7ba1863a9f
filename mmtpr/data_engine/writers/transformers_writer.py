"""Quadruples by a local model of transformers."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.fingerprint import path_fingerprint
from mmtpr.utils.lazy import require

from ..devices import chosen_device, named_dtype
from .base import Answer, QuadrupleWriter, Request
from .prompt import PROMPT_VERSION, build_messages
from .quadruple import parse_quadruple


@SYNTHESIS.register_module()
class TransformersWriter(QuadrupleWriter):
    """A language model of transformers in this process.

    One answer at a time, so that an answer depends on its seed and not on its
    neighbours; a server such as vLLM is many times faster. Needs the extra
    ``[synthesis]``.

    Args:
        model (str): Name at the hub or folder of a model with a chat
            template.
        temperature (float): 0 takes the likeliest word. Defaults to 0.9.
        max_tokens (int): Longest answer. Defaults to 512.
        dtype (str): Type of the weights. Defaults to ``'bfloat16'``.
        device (str): Defaults to ``'cuda'`` where there is one.
    """

    prompt_version = PROMPT_VERSION

    def __init__(
        self,
        model: str,
        temperature: float = 0.9,
        max_tokens: int = 512,
        dtype: str = 'bfloat16',
        device: str | None = None,
    ) -> None:
        self.model, self.temperature = model, temperature
        self.max_tokens, self.dtype = max_tokens, dtype
        named_dtype(dtype)
        self.device = chosen_device(device)

    def settings(self) -> dict[str, Any]:
        """See :meth:`QuadrupleWriter.settings`."""
        return dict(
            writer='TransformersWriter',
            model=self.model,
            model_content=path_fingerprint(self.model),
            prompt=self.prompt_version,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            dtype=self.dtype,
        )

    def answer(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[Request, Answer]]:
        """See :meth:`QuadrupleWriter.answer`."""
        for request in requests:
            raw = self._generate(request)
            found = parse_quadruple(raw)
            problem = '' if found else 'the answer is no object of the schema'
            yield request, Answer(found, raw, problem)

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Tokenizer and model."""
        library = require('transformers', 'synthesis', 'A local writer')
        try:
            tokenizer = library.AutoTokenizer.from_pretrained(self.model)
            model = library.AutoModelForCausalLM.from_pretrained(
                self.model, dtype=named_dtype(self.dtype)
            )
        except (OSError, ValueError) as error:
            raise LaunchError(
                f'The writer\'s model "{self.model}" cannot be loaded: '
                f'{str(error).splitlines()[0]}'
            ) from error
        if tokenizer.chat_template is None:
            raise LaunchError(
                f'The writer\'s model "{self.model}" has no chat template: '
                'name one that was tuned to follow instructions.'
            )
        return tokenizer, model.eval().to(self.device)

    @torch.inference_mode()
    def _generate(self, request: Request) -> str:
        tokenizer, model = self._parts
        messages = build_messages(request.metadata, request.complaint)
        given = tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            return_tensors='pt',
            return_dict=True,
        ).to(self.device)
        how: dict[str, Any] = dict(do_sample=False)
        if self.temperature > 0:
            how = dict(do_sample=True, temperature=self.temperature)
        devices = [] if self.device == 'cpu' else [torch.device(self.device)]
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(request.seed)
            out = model.generate(
                **given, max_new_tokens=self.max_tokens, **how
            )
        start = given['input_ids'].shape[1]
        return tokenizer.decode(out[0, start:], skip_special_tokens=True)
