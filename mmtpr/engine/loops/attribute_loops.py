"""Attributes of images, decided by pairs of prompts."""

from collections.abc import Sequence

import torch
from mmengine.runner import TestLoop, ValLoop
from torch import Tensor

from mmtpr.evaluation.reranking.pair_scorer import HeldTexts, PairScorer
from mmtpr.registry import LOOPS, TRANSFORMS
from mmtpr.structures import RetrievalDataSample
from mmtpr.text.vocabulary_check import check_vocabulary

from .staged import StagedLoop, text_mask


class _AttributeLoop(StagedLoop):
    """Scores each image with all prompts.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Images with attributes.
        evaluator (Evaluator | dict | list): With an :class:`AttributeMetric`.
        prompts (Sequence[Sequence[str]]): Negative and positive one of each
            attribute.
        tokenizer (dict | BaseTransform): Makes ``tokens`` of ``caption``.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        pair_batch (int): Pairs that run at a time. Defaults to 256.
    """

    def __init__(
        self,
        runner,
        dataloader,
        evaluator,
        prompts: Sequence[Sequence[str]],
        tokenizer: dict,
        fp16: bool = False,
        pair_batch: int = 256,
    ) -> None:
        # Of mmengine's loop, which the subclass mixes in.
        super().__init__(  # type: ignore[call-arg]
            runner, dataloader, evaluator, fp16
        )
        _check(prompts, self.dataloader.dataset)
        self.prompts = [tuple(pair) for pair in prompts]
        if isinstance(tokenizer, dict):
            tokenizer = TRANSFORMS.build(tokenizer)
        self._texts = _tokenize(self.prompts, tokenizer)
        self._mask = text_mask(self.model, self._texts)
        limit = getattr(self.model, 'vocab_size', None)
        check_vocabulary(self._texts['tokens'], limit)
        self.scorer = PairScorer(self.model, pair_batch=pair_batch)
        self._held: list[HeldTexts] | None = None

    def run(self) -> dict[str, float]:
        """Evaluate; the prompts are encoded once, by the weights of now.

        Returns:
            dict[str, float]: The numbers of the evaluator.
        """
        self._held = None
        return super().run()

    def encode(
        self,
        inputs: dict[str, Tensor],
        samples: Sequence[RetrievalDataSample],
    ) -> list[RetrievalDataSample]:
        """Put the scores of all prompts on samples.

        Args:
            inputs (dict): From the data preprocessor.
            samples (Sequence[RetrievalDataSample]): Each with an image.

        Returns:
            list[RetrievalDataSample]: The samples.

        Raises:
            ValueError: If a sample has no image.
        """
        number = len(samples)
        if len(inputs.get('image', ())) != number:
            raise ValueError(
                f'Of the {number} samples of a batch only '
                f'{len(inputs.get("image", ()))} have an image: add an image '
                'loader to the test pipeline.'
            )
        _, embeds = self.model.encode_image(inputs['image'])
        texts = self._texts['tokens'], self._mask
        self._held = self._held or self.scorer.hold(*texts)
        scores = self.scorer(
            embeds,
            *texts,
            torch.arange(number).expand(2 * len(self.prompts), number),
            held=self._held,
        )
        scores = scores.t().unflatten(1, (-1, 2))
        for sample, own in zip(samples, scores, strict=True):
            sample.attribute_scores = own.clone()
        self.evaluator.process(data_samples=samples, data_batch=None)
        return list(samples)

    def finish(self) -> None:
        """Let the prompts go: every batch is complete in itself."""
        self._held = None


@LOOPS.register_module()
class AttributeTestLoop(_AttributeLoop, TestLoop):
    """Test of attributes by prompts, as APTM does on PA-100K.

    Each attribute has a negative and a positive sentence; the cross encoder
    scores the image with both and the better one decides. The model needs
    what :class:`PairScorer` names, and ``encode_image``.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Images with attributes.
        evaluator (Evaluator | dict | list): With an :class:`AttributeMetric`.
        prompts (Sequence[Sequence[str]]): Negative and positive one of each
            attribute, in the order of the labels.
        tokenizer (dict | BaseTransform): Makes ``tokens`` of ``caption``,
            e.g. ``mmtpr.TokenizeBert``.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        pair_batch (int): Pairs that run at a time. Defaults to 256.

    Examples:
        >>> test_cfg = dict(
        ...     type='mmtpr.AttributeTestLoop',
        ...     prompts=[('a person without a hat', 'a person with a hat')],
        ...     tokenizer=dict(type='mmtpr.TokenizeBert', max_length=15))
        >>> test_evaluator = dict(type='mmtpr.AttributeMetric')
    """

    stage = 'test'


@LOOPS.register_module()
class AttributeValLoop(_AttributeLoop, ValLoop):
    """Validation of attributes; all of it as :class:`AttributeTestLoop`.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Images with attributes.
        evaluator (Evaluator | dict | list): With an :class:`AttributeMetric`.
        prompts (Sequence[Sequence[str]]): Negative and positive one of each
            attribute.
        tokenizer (dict | BaseTransform): Makes ``tokens`` of ``caption``.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        pair_batch (int): Pairs that run at a time. Defaults to 256.
    """

    stage = 'val'


def _check(prompts: Sequence, dataset) -> None:
    wrong = [
        pair
        for pair in prompts
        if isinstance(pair, str)
        or len(pair) != 2
        or not all(isinstance(text, str) and text.strip() for text in pair)
    ]
    if wrong or not prompts:
        raise ValueError(
            'prompts must hold a negative and a positive sentence for each '
            f'attribute; got {wrong[0] if wrong else "none"!r}.'
        )
    number = (getattr(dataset, 'metainfo', None) or {}).get('num_attributes')
    if number is not None and number != len(prompts):
        raise ValueError(
            f'There are {len(prompts)} pairs of prompts, but '
            f'{type(dataset).__name__} has {number} attributes.'
        )


def _tokenize(prompts: Sequence, tokenizer) -> dict[str, Tensor]:
    """Tokens, and mask if the tokenizer makes one, of (2 A, L)."""
    made = [tokenizer(dict(caption=text)) for pair in prompts for text in pair]
    cut = [item['caption'] for item in made if item.get('caption_cut')]
    if cut:
        raise ValueError(
            f'{len(cut)} prompts are too long for the tokenizer, first '
            f'"{cut[0]}". Raise its max_length.'
        )
    return {
        key: torch.stack([item[key] for item in made])
        for key in ('tokens', 'tokens_mask')
        if key in made[0]
    }
