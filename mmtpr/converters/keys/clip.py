"""Names of CLIP's weights: OpenAI, and mmtpr's retrievers."""

from ..keymap import KeyMap, Rule, prefixed, same_names

#: Where an ``mmtpr.OpenCLIPEncoder`` is in a retriever.
OURS = 'encoder.clip.'
#: Within a block of a transformer.
BLOCK = (
    'attn.in_proj_{p}',
    'attn.out_proj.{p}',
    'ln_{j}.{p}',
    'mlp.c_fc.{p}',
    'mlp.c_proj.{p}',
)
_NUMBER = 'a number of the architecture, which the config says'


def clip_rules() -> list[Rule]:
    """Rules for the names of a CLIP, with a ViT or a ResNet.

    Returns:
        list[Rule]: OpenAI's names, which are open_clip's, on both sides.
    """
    towers = ('transformer', 'visual.transformer')
    bottleneck = 'visual.layer{i}.{j}'
    return same_names(
        'positional_embedding',
        'text_projection',
        'logit_scale',
        'token_embedding.weight',
        'ln_final.{p}',
        'visual.class_embedding',
        'visual.positional_embedding',
        'visual.proj',
        'visual.ln_pre.{p}',
        'visual.ln_post.{p}',
        'visual.conv1.weight',
        *(f'{t}.resblocks.{{i}}.{name}' for t in towers for name in BLOCK),
        'visual.conv{i}.weight',
        'visual.bn{i}.{p}',
        f'{bottleneck}.conv{{k}}.weight',
        f'{bottleneck}.bn{{k}}.{{p}}',
        f'{bottleneck}.downsample.{{k}}.{{p}}',
        'visual.attnpool.positional_embedding',
        'visual.attnpool.q_proj.{p}',
        'visual.attnpool.k_proj.{p}',
        'visual.attnpool.v_proj.{p}',
        'visual.attnpool.c_proj.{p}',
    )


def openai_map(prefix: str = OURS) -> KeyMap:
    """Key map of OpenAI's CLIP to an encoder of mmtpr.

    Args:
        prefix (str): What stands before the encoder's names. Defaults to
            that of a retriever.

    Returns:
        KeyMap: OpenAI -> mmtpr. The way back leaves a retriever's losses,
        necks and TINets out.
    """
    return KeyMap(
        'OpenAI CLIP',
        'mmtpr',
        prefixed(clip_rules(), target=prefix),
        dict.fromkeys(
            ('input_resolution', 'context_length', 'vocab_size'), _NUMBER
        ),
        {
            'losses.{rest}': 'a part of a loss, which CLIP has not',
            'necks.{rest}': 'a part of a neck, which CLIP has not',
            'query.{rest}': 'a TINet, which CLIP has not',
            'logit_scale': "the retriever's temperature",
        },
    )
