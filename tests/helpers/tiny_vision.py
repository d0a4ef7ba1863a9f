"""A Qwen2.5-VL of random weights with a tokenizer of bytes."""

from pathlib import Path

_SPECIAL = (
    *('<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|vision_start|>'),
    *('<|vision_end|>', '<|image_pad|>', '<|video_pad|>'),
)
_TEMPLATE = (
    '{% for m in messages %}<|im_start|>{{ m.role }}\n'
    "{% for c in m.content %}{% if c.type == 'image' %}"
    '<|vision_start|><|image_pad|><|vision_end|>'
    '{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}'
    '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)


def write_tiny_vision_model(folder: Path) -> Path:
    """Save the model with everything that transformers reads."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    words = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocab = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([*_SPECIAL])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token='<|endoftext|>',
        eos_token='<|im_end|>',
    )
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            min_pixels=28 * 28, max_pixels=2 * 28 * 28
        ),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=_TEMPLATE,
    )
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=len(words),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            rope_scaling=dict(type='mrope', mrope_section=[2, 3, 3]),
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=0,
        ),
        vision_config=dict(
            depth=1,
            hidden_size=32,
            intermediate_size=32,
            num_heads=2,
            out_hidden_size=32,
            fullatt_block_indexes=[0],
            window_size=56,
        ),
        vision_start_token_id=3,
        vision_end_token_id=4,
        image_token_id=5,
        video_token_id=6,
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():  # so that digits and images tell apart
        for weight in model.parameters():
            if weight.dim() > 1:
                weight *= 10
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
