"""A pipeline of FLUX.1 of random weights, and LoRAs for it."""

from pathlib import Path

WORDS = 400


def make_tokenizer(length):
    """A tokenizer of letters that reads so many tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = [*'abcdefghijklmnopqrstuvwxyz0123456789.,:-\'"']
    words = ['<pad>', '<s>', '</s>', '<unk>', *letters]
    words += [f'##{letter}' for letter in letters]
    vocab = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(models.WordPiece(vocab=vocab, unk_token='<unk>'))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token='<pad>',
        bos_token='<s>',
        eos_token='</s>',
        unk_token='<unk>',
        model_max_length=length,
    )


def _transformer(width):
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=width // 2,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[width // 8, width // 8, width // 4],
    )


def write_tiny_flux(folder: Path, editing: bool = False) -> Path:
    """Save the pipeline: FLUX.1, or its sibling that edits images."""
    import torch
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        FluxKontextPipeline,
        FluxPipeline,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        T5Config,
        T5EncoderModel,
    )

    torch.manual_seed(0)
    short, long = map(make_tokenizer, (77, 1024))
    clip = CLIPTextConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=32,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    t5 = T5Config(
        vocab_size=WORDS,
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=2,
    )
    vae = AutoencoderKL(
        block_out_channels=(4,),
        norm_num_groups=2,
        latent_channels=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.5305,
        shift_factor=0.0609,
    )
    more = dict(image_encoder=None, feature_extractor=None)
    kind = FluxKontextPipeline if editing else FluxPipeline
    pipeline = kind(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=CLIPTextModel(clip),
        tokenizer=short,
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=long,
        transformer=_transformer(32),
        **more,
    )
    pipeline.save_pretrained(folder)
    return folder


def write_tiny_lora(folder: Path, width: int = 32) -> Path:
    """Save a LoRA that changes images; of another width it does not fit."""
    import torch
    from diffusers import FluxPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(1)
    transformer = _transformer(width)
    transformer.add_adapter(
        LoraConfig(r=2, lora_alpha=2, target_modules=['to_q', 'to_v'])
    )
    for name, weight in transformer.named_parameters():
        if 'lora' in name:
            torch.nn.init.normal_(weight, std=1.0)
    FluxPipeline.save_lora_weights(
        folder, get_peft_model_state_dict(transformer)
    )
    return folder
