"""A chat model of random weights with a tokenizer of bytes."""

from collections.abc import Sequence
from pathlib import Path


def write_tiny_chat_model(folder: Path, more: Sequence[str] = ()) -> Path:
    """Save the model with everything that transformers reads.

    Each text of ``more`` is a token of its own, the last ones, which no
    prompt has.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ['<pad>', '<s>', '</s>', *alphabet]
    words += [text.replace(' ', '\u0120') for text in more]  # as bytes
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token='<pad>',
        bos_token='<s>',
        eos_token='</s>',
    )
    fast.chat_template = (
        '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}'
        '{% if add_generation_prompt %}assistant:{% endif %}'
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
