"""Sentences put together from token ids."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmtpr.models.encoders.open_clip.pseudo_words import end_positions


class PromptTemplate(nn.Module):
    """Text around a caption, added to the caption's token ids.

    Works on ids, so a pipeline needs to tokenize each caption once, and what
    must not be lost (text of the template, placeholder, end-of-text token)
    never is: the caption is cut where the tower is too short.

    Args:
        clip (nn.Module): Model of open_clip the ids are for.
        tokenizer (Callable): Of open_clip, list of K strings -> (K, L).
        template (str): Text with ``{}`` where the caption goes, or without.
        placeholder (str, optional): A word of the template that a pseudo word
            will replace. Defaults to None.
        reserve (int): Positions to leave free. Defaults to 0.

    Attributes:
        placeholder_id (int | None): Token id of the placeholder.
        room (int): Tokens of a caption that fit.

    Raises:
        ValueError: If the tokenizer splits the placeholder, the template does
            not have it exactly once, or nothing fits beside the template.
    """

    empty: Tensor
    prefix: Tensor
    suffix: Tensor

    def __init__(
        self,
        clip: nn.Module,
        tokenizer: Callable,
        template: str,
        placeholder: str | None = None,
        reserve: int = 0,
    ) -> None:
        super().__init__()
        if template.count('{}') > 1:
            raise ValueError(f'The template "{template}" has {{}} twice.')
        self.template = template
        before, _, after = template.partition('{}')
        empty = tokenizer([''])
        self.start = int(end_positions(clip, empty)[0])

        def ids(text: str) -> Tensor:
            row = tokenizer([text])
            return row[0, self.start : int(end_positions(clip, row)[0])]

        self.placeholder_id: int | None = None
        if placeholder is not None:
            self.placeholder_id = _single_id(ids(placeholder), placeholder)
        prefix, suffix = ids(before), ids(after)
        self._check_placeholder(torch.cat([prefix, suffix]), placeholder)
        self._is_behind = self.placeholder_id in suffix.tolist()
        self.filler_id = int(ids('a')[0])
        for name, value in (
            ('prefix', prefix),
            ('suffix', suffix),
            ('empty', empty[0]),
        ):
            self.register_buffer(name, value, persistent=False)
        fixed = self.start + len(prefix) + len(suffix) + 1 + reserve
        self.room = len(self.empty) - fixed
        if self.room < ('{}' in template):
            raise ValueError(
                f'The template "{template}" leaves no room for a caption in '
                f'{len(self.empty)} tokens. Shorten it, or raise '
                'context_length of the encoder.'
            )

    def _check_placeholder(self, ids: Tensor, placeholder: str | None) -> None:
        if placeholder is None:
            return
        same: Any = ids == self.placeholder_id
        times = int(same.sum())
        if times != 1:
            raise ValueError(
                f'The template "{self.template}" must have the placeholder '
                f'"{placeholder}" once as a word of its own, found {times} '
                'times.'
            )

    def forward(self, tokens: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Put captions into the template.

        Args:
            tokens (Tensor): Captions, token ids of shape (K, L).
            ends (Tensor): Their end-of-text positions, (K, ).

        Returns:
            tuple[Tensor, Tensor]: Sentences of shape (K, L), and whether
            their caption was cut, (K, ) bool.
        """
        given = ends - self.start
        kept = given.clamp(max=self.room)[:, None]
        row = torch.arange(tokens.shape[1], device=tokens.device)
        row = row.expand(len(tokens), -1)
        head = torch.cat([self.empty[: self.start], self.prefix])
        tail = len(head) + kept  # where the suffix begins
        end = tail + len(self.suffix)
        sentence = self.empty[-1].expand_as(row)
        sentence = torch.where(
            row == end, tokens.gather(1, ends[:, None]), sentence
        )
        if len(self.suffix):
            place = (row - tail).clamp(0, len(self.suffix) - 1)
            sentence = torch.where(row < end, self.suffix[place], sentence)
        body = tokens.gather(1, (row - len(self.prefix)).clamp(min=0))
        sentence = torch.where(row < tail, self._without(body), sentence)
        place = row.clamp(max=len(head) - 1)
        sentence = torch.where(row < len(head), head[place], sentence)
        return sentence, given > self.room

    def sentence_length(self, length: int) -> int:
        """Tell how many positions the sentences of some captions need.

        Args:
            length (int): Positions that the captions need at most, with
                their end-of-text token.

        Returns:
            int: Those of a sentence at most, with its end-of-text token.
        """
        caption = max(0, min(length - 1 - self.start, self.room))
        fixed = self.start + len(self.prefix) + len(self.suffix) + 1
        return min(len(self.empty), fixed + caption)

    def _without(self, body: Tensor) -> Tensor:
        """Captions that do not take the part of a placeholder behind them."""
        if self.placeholder_id is None or not self._is_behind:
            return body
        return body.masked_fill(body == self.placeholder_id, self.filler_id)


def _single_id(ids: Tensor, placeholder: str) -> int:
    if len(ids) != 1:
        raise ValueError(
            f'The tokenizer splits the placeholder "{placeholder}" into '
            f'{len(ids)} tokens; choose a word that is one token, such as '
            '"*".'
        )
    return int(ids[0])
