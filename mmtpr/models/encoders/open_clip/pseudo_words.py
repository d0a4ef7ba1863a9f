"""Pseudo words among the token embeddings of a text tower."""

from typing import Any

import torch
from open_clip.hf_model import HFTextEncoder
from torch import Tensor, nn

#: Ways of open_clip to read a caption's feature at its end-of-text token.
_READS_END = ('argmax', 'eos')


def token_embedding(clip: nn.Module) -> nn.Embedding:
    """Find the token embedding of a text tower.

    Args:
        clip (nn.Module): Model of open_clip.

    Returns:
        nn.Embedding: The embedding.

    Raises:
        TypeError: If the tower has none.
    """
    text = getattr(clip, 'text', clip)
    if isinstance(text, HFTextEncoder):
        return text.transformer.get_input_embeddings()
    embedding = getattr(text, 'token_embedding', None)
    if embedding is None:
        raise TypeError(
            f'The text tower {type(text).__name__} has no token embedding, '
            'into which a pseudo word could be placed.'
        )
    return embedding


def end_positions(clip: Any, tokens: Tensor) -> Tensor:
    """Find where captions end: at the end-of-text token.

    Towers that read the last position have no such token; there it is the
    first of the padding, or the last position of a caption that is full.

    Args:
        clip (nn.Module): Model of open_clip.
        tokens (Tensor): Token ids of shape (B, L).

    Returns:
        Tensor: Positions of shape (B, ), long.
    """
    text = getattr(clip, 'text', clip)
    if isinstance(text, HFTextEncoder):
        return (tokens != text.config.pad_token_id).sum(dim=1) - 1
    if _pool_type(text) == 'eos':
        eos = getattr(text, 'text_eos_id', None) or text.eos_id
        return (tokens == eos).int().argmax(dim=1)
    if _pool_type(text) == 'argmax' or _has_class_token(text):
        return tokens.argmax(dim=1)
    same = (tokens == tokens[:, -1:]).flip(1).int().cumprod(dim=1)
    return tokens.shape[1] - same.sum(dim=1)


def place_words(
    tokens: Tensor,
    ends: Tensor,
    num_words: int,
    placeholder_id: int | None = None,
    check: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make room for pseudo words in token ids.

    Without placeholder, words go where the end-of-text token (EOT) stood,
    which moves right; a prompt that is too long loses its last tokens. With
    placeholder, words take its place, and a caption that no longer fits
    loses its last tokens. Neither words nor EOT are ever cut off.

    Args:
        tokens (Tensor): Token ids of shape (B, L).
        ends (Tensor): Positions of EOT, (B, ).
        num_words (int): Words W of each caption.
        placeholder_id (int, optional): Token to be replaced, the first one
            in a caption. Defaults to None.
        check (bool): Whether to look for captions that have no placeholder
            or no room, for which the host waits. Defaults to True.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Token ids (B, L) in which the words'
        places hold some ordinary id, the first of these places (B, ), and
        the new positions of EOT (B, ).

    Raises:
        ValueError: If a caption has no placeholder, or words do not fit.
    """
    length = tokens.shape[1]
    if placeholder_id is None:
        start, grow = ends.clamp(max=length - 1 - num_words), num_words
        too_long = start < 1
    else:
        start = _find(tokens, ends, placeholder_id, check)
        too_long, grow = start + num_words >= length, num_words - 1
    if check:
        _check_room(too_long, num_words, length)
    position = torch.arange(length, device=tokens.device)
    first = start[:, None]
    source = torch.where(position < first + num_words, first, position - grow)
    source = torch.where(position < first, position, source)
    if placeholder_id is None:
        # The ids of the words' places are those of the token before them.
        inside = (position >= first) & (position < first + num_words)
        source = torch.where(inside, first - 1, source)
    moved = (ends + grow).clamp(max=length - 1)
    eot = tokens.gather(1, ends[:, None])
    placed = tokens.gather(1, source).scatter(1, moved[:, None], eot)
    return placed, start, moved


def encode_with_words(
    clip: Any,
    tokens: Tensor,
    words: Tensor,
    placeholder_id: int | None = None,
    length: int | None = None,
) -> Tensor:
    """Encode captions that contain pseudo words.

    Causal towers are run only up to the last EOT of the batch, which changes
    nothing and makes short prompts cheap.

    Args:
        clip (nn.Module): Model of open_clip.
        tokens (Tensor): Token ids of shape (B, L) or (1, L).
        words (Tensor): Pseudo words of shape (B, W, C), C the width of the
            token embeddings.
        placeholder_id (int, optional): See :func:`place_words`.
        length (int, optional): Positions that all captions with their words
            need at most, where that is known to be no more than L. Defaults
            to None: it is looked for and checked, for which the host waits.

    Returns:
        Tensor: Un-normalised features of shape (B, D).

    Raises:
        ValueError: If shapes do not fit, or see :func:`place_words`.
    """
    _check_words(clip, tokens, words)
    tokens = tokens.expand(len(words), -1)
    ends = end_positions(clip, tokens)
    tokens, start, ends = place_words(
        tokens, ends, words.shape[1], placeholder_id, length is None
    )
    text = getattr(clip, 'text', clip)
    if is_causal(text):
        length = int(ends.max()) + 1 if length is None else length
        return _encode_causal(text, tokens[:, :length], words, start, ends)
    handle = token_embedding(clip).register_forward_hook(
        lambda module, inputs, output: _insert(output, words, start)
    )
    try:
        features = clip.encode_text(tokens, normalize=False)
    finally:
        handle.remove()
    return features[0] if isinstance(features, tuple) else features


def _pool_type(text: nn.Module) -> str | None:
    """Find the pooling of the tower; a flat CLIP names it otherwise."""
    own = getattr(text, 'text_pool_type', None)
    return own or getattr(text, 'pool_type', None)


def _has_class_token(text: nn.Module) -> bool:
    return getattr(text, 'cls_emb', None) is not None


def is_causal(text: nn.Module) -> bool:
    """Tell whether nothing behind EOT has a part in the feature.

    Args:
        text (nn.Module): Text tower of open_clip, or a flat CLIP.

    Returns:
        bool: True for causal towers that read the feature at EOT.
    """
    return (
        getattr(text, 'attn_mask', None) is not None
        and not getattr(text, 'use_pad_mask', False)
        and not _has_class_token(text)
        and _pool_type(text) in _READS_END
    )


def _encode_causal(
    text: Any, tokens: Tensor, words: Tensor, start: Tensor, ends: Tensor
) -> Tensor:
    length = tokens.shape[1]
    dtype = text.transformer.get_cast_dtype()
    x = text.token_embedding(tokens).to(dtype)
    x = _insert(x, words, start)
    x = x + text.positional_embedding[:length].to(dtype)
    x = text.transformer(x, attn_mask=text.attn_mask[:length, :length])
    rows = torch.arange(len(x), device=x.device)
    x = text.ln_final(x[rows, ends])
    if isinstance(text.text_projection, nn.Module):
        return text.text_projection(x)
    return x if text.text_projection is None else x @ text.text_projection


def _insert(embedded: Tensor, words: Tensor, start: Tensor) -> Tensor:
    """Overwrite embeddings (B, L, C) from ``start`` on by ``words``."""
    number = words.shape[1]
    place = start[:, None] + torch.arange(number, device=start.device)
    place = place[..., None].expand(-1, -1, words.shape[2])
    return embedded.scatter(1, place, words.to(embedded.dtype))


def _find(
    tokens: Tensor, ends: Tensor, placeholder_id: int, check: bool
) -> Tensor:
    """Position of the first placeholder before EOT."""
    position = torch.arange(tokens.shape[1], device=tokens.device)
    found = (tokens == placeholder_id) & (position < ends[:, None])
    missing = ~found.any(dim=1)
    if check and missing.any():
        raise ValueError(
            f'{int(missing.sum())} of {len(tokens)} captions have no '
            f'placeholder, token {placeholder_id}: the tokenizer splits it, '
            'or it stood behind so long a text that it was cut off. Put it '
            'before the text, as in "a * is , {}".'
        )
    return found.int().argmax(dim=1)


def _check_room(too_long: Tensor, num_words: int, length: int) -> None:
    if too_long.any():
        raise ValueError(
            f'{num_words} pseudo words and what stands before them do not '
            f'fit into the {length} tokens of the text tower: use fewer '
            'words or put the placeholder further to the front.'
        )


def _check_words(clip: nn.Module, tokens: Tensor, words: Tensor) -> None:
    width = token_embedding(clip).embedding_dim
    if words.dim() != 3 or words.shape[2] != width:
        raise ValueError(
            'Pseudo words must be of shape (B, W, C), C the '
            f"{width} of the text tower's token embeddings, got "
            f'{tuple(words.shape)}.'
        )
    if len(tokens) not in (1, len(words)):
        raise ValueError(
            f'{len(tokens)} captions do not fit to the pseudo words of '
            f'{len(words)} images.'
        )
