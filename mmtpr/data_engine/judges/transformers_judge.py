"""Pairs judged by a local vision-language model of transformers."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.fingerprint import path_fingerprint
from mmtpr.utils.lazy import require

from ..devices import chosen_device, named_dtype
from .base import JudgeRequest, PairJudge, Verdict
from .questions import (
    DIGITS,
    PROMPT_VERSION,
    QUESTIONS,
    WORST,
    build_messages,
    expected_digit,
)


@SYNTHESIS.register_module()
class TransformersJudge(PairJudge):
    """A vision-language model of transformers in this process.

    Such as Qwen2.5-VL. Nothing is generated: a score is the expected digit
    by the logits of the first token of the answer. One question at a time, so
    that a score does not depend on its neighbours. Needs the extra
    ``[synthesis]``.

    Args:
        model (str): Name at the hub or folder of the model.
        dtype (str): Type of the weights. Defaults to ``'bfloat16'``.
        device (str, optional): Defaults to None: ``'cuda'`` where there is
            one.
    """

    worst = dict.fromkeys(QUESTIONS, WORST)
    prompt_version = PROMPT_VERSION

    def __init__(
        self, model: str, dtype: str = 'bfloat16', device: str | None = None
    ) -> None:
        self.model, self.dtype = model, dtype
        named_dtype(dtype)
        self.device = chosen_device(device)

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairJudge.settings`."""
        return dict(
            judge='TransformersJudge',
            model=self.model,
            model_content=path_fingerprint(self.model),
            prompt=self.prompt_version,
            dtype=self.dtype,
        )

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Processor and model."""
        library = require('transformers', 'synthesis', 'A local judge')
        try:
            processor = library.AutoProcessor.from_pretrained(self.model)
            model = library.AutoModelForImageTextToText.from_pretrained(
                self.model, dtype=named_dtype(self.dtype)
            )
        except (OSError, ValueError) as error:
            raise LaunchError(
                f'The judge\'s model "{self.model}" cannot be loaded: '
                f'{str(error).splitlines()[0]}'
            ) from error
        return processor, model.eval().to(self.device)

    @cached_property
    def _digits(self) -> list[int]:
        """Token of each digit."""
        tokenizer = self._parts[0].tokenizer
        found = [
            tokenizer(digit, add_special_tokens=False)['input_ids']
            for digit in DIGITS
        ]
        if any(len(ids) != 1 for ids in found):
            raise LaunchError(
                f'The tokenizer of "{self.model}" has no token for each digit.'
            )
        return [ids[0] for ids in found]

    def judge(
        self, requests: Sequence[JudgeRequest]
    ) -> Iterator[tuple[JudgeRequest, Verdict]]:
        """See :meth:`PairJudge.judge`."""
        for request in requests:
            yield request, self._judge(request)

    def _judge(self, request: JudgeRequest) -> Verdict:
        paths = request.reference, request.target
        images = [Image.open(path).convert('RGB') for path in paths]
        scores, raw = {}, {}
        for question in QUESTIONS:
            log_probs = self.log_probs(request, question, images)
            raw[question] = {d: round(p, 4) for d, p in log_probs.items()}
            scores[question] = expected_digit(log_probs) or WORST
        return Verdict(scores, raw=raw)

    @torch.inference_mode()
    def log_probs(
        self, request: JudgeRequest, question: str, images: list[Any]
    ) -> dict[str, float]:
        """Ask one question.

        Args:
            request (JudgeRequest): The pair.
            question (str): Name of the question.
            images (list[PIL.Image]): Reference and target.

        Returns:
            dict[str, float]: Log-probability of each digit among all tokens.

        Raises:
            LaunchError: If the logits are not finite.
        """
        processor, model = self._parts
        shown = [dict(type='image', image=image) for image in images]
        given = processor.apply_chat_template(
            build_messages(request, question, (shown[0], shown[1])),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors='pt',
        ).to(self.device)
        logits = model(**given).logits[0, -1].float()  # (vocabulary, )
        log_probs = logits.log_softmax(0)[self._digits]  # (5, )
        if not log_probs.isfinite().all():
            raise LaunchError(
                f'The answer of "{self.model}" is not finite: try another '
                'dtype.'
            )
        return dict(zip(DIGITS, log_probs.tolist(), strict=True))
