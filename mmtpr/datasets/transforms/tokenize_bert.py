"""Captions to token ids of BERT."""

from mmtpr.registry import TRANSFORMS

from .tokenize_caption import TokenizeCaption


@TRANSFORMS.register_module()
class TokenizeBert(TokenizeCaption):
    """Turn a caption into token ids of BERT, as BLIP-2 reads them.

    Short for :class:`TokenizeCaption` with ``tokenizer=dict(bert=vocab)``.
    ``[CLS] words [SEP] [PAD] ...``; a caption that is too long is cut, the
    [SEP] stays last. A sample without caption passes unchanged. Needs the
    library tokenizers, which the extra ``[blip2]`` brings.

    Required Keys: none

    Added Keys: ``target``, a LongTensor of shape (max_length, ),
    ``<target>_mask``, 1 where a token counts, and ``<source>_cut``, whether
    the caption was cut

    Args:
        vocab (str): A vocabulary with one word a line (``vocab.txt``), a
            ``tokenizer.json``, a folder that holds one of them, or a name of
            the hub. Defaults to ``'bert-base-uncased'``, from the hub.
        max_length (int): Tokens, padding included. Defaults to 32, which
            BLIP-2 was trained with.
        clean (bool): Whether to lower-case and to take out ``.!"()*#:;~``,
            as BLIP-2's training did. Defaults to True.
        max_words (int): Words to keep when cleaning. Defaults to 50.
        source (str): Key to read. Defaults to ``'caption'``.
        target (str): Key to write. Defaults to ``'tokens'``.
        keep (bool): See :class:`TokenizeCaption`. Defaults to True.

    Raises:
        ImportError: If tokenizers is not installed.
        FileNotFoundError: If the vocabulary is a path that does not exist.
        ValueError: If it is not one of BERT, or cannot be downloaded.
    """

    def __init__(
        self,
        vocab: str = 'bert-base-uncased',
        max_length: int = 32,
        clean: bool = True,
        max_words: int = 50,
        source: str = 'caption',
        target: str = 'tokens',
        keep: bool = True,
    ) -> None:
        if max_length < 3:
            raise ValueError(
                f'max_length={max_length} leaves no room for a word between '
                '[CLS] and [SEP].'
            )
        tokenizer = dict(bert=str(vocab), clean=clean, max_words=max_words)
        super().__init__(tokenizer, max_length, source, target, keep)
        self.vocab, self.clean = vocab, clean

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(vocab={self.vocab!r}, '
            f'max_length={self.context_length}, clean={self.clean})'
        )
