"""Names and shapes in the releases' files, written down by hand."""


def norm(name, width):
    return {f'{name}.weight': (width,), f'{name}.bias': (width,)}


def linear(name, width_in, width_out, bias=True):
    shapes = {f'{name}.weight': (width_out, width_in)}
    return shapes | ({f'{name}.bias': (width_out,)} if bias else {})


def clip_block(name, width):
    return {
        f'{name}.attn.in_proj_weight': (3 * width, width),
        f'{name}.attn.in_proj_bias': (3 * width,),
        **linear(f'{name}.attn.out_proj', width, width),
        **norm(f'{name}.ln_1', width),
        **linear(f'{name}.mlp.c_fc', width, 4 * width),
        **linear(f'{name}.mlp.c_proj', 4 * width, width),
        **norm(f'{name}.ln_2', width),
    }


def clip(
    image=768,
    text=512,
    embed=512,
    layers=(12, 12),
    places=193,
    patch=16,
    words=49408,
    length=77,
):
    """CLIP as IRRA keeps it: without ``logit_scale``."""
    shapes = {
        'positional_embedding': (length, text),
        'text_projection': (text, embed),
        'visual.class_embedding': (image,),
        'visual.positional_embedding': (places, image),
        'visual.proj': (image, embed),
        'visual.conv1.weight': (image, 3, patch, patch),
        **norm('visual.ln_pre', image),
        **norm('visual.ln_post', image),
        'token_embedding.weight': (words, text),
        **norm('ln_final', text),
    }
    for i in range(layers[0]):
        shapes |= clip_block(f'visual.transformer.resblocks.{i}', image)
    for i in range(layers[1]):
        shapes |= clip_block(f'transformer.resblocks.{i}', text)
    return shapes


def prefixed(shapes, prefix):
    return {prefix + name: shape for name, shape in shapes.items()}


def irra(pids=11003, embed=512, words=49408, depth=4, **kwargs):
    """IRRA with SDM, ID and MLM on CUHK-PEDES."""
    shapes = {
        **prefixed(clip(embed=embed, words=words, **kwargs), 'base_model.'),
        **linear('classifier', embed, pids),
        'cross_attn.in_proj_weight': (3 * embed, embed),
        'cross_attn.in_proj_bias': (3 * embed,),
        **linear('cross_attn.out_proj', embed, embed),
        **norm('ln_pre_t', embed),
        **norm('ln_pre_i', embed),
        **norm('ln_post', embed),
        **linear('mlm_head.dense', embed, embed),
        **norm('mlm_head.ln', embed),
        **linear('mlm_head.fc', embed, words),
    }
    for i in range(depth):
        name = f'cross_modal_transformer.resblocks.{i}'
        shapes |= clip_block(name, embed)
    return shapes


def rde(width=512, embed=1024, hidden=512, **kwargs):
    """RDE: CLIP as IRRA keeps it, and two layers of selected tokens."""
    shapes = prefixed(clip(embed=width, **kwargs), 'base_model.')
    for name in ('visul_emb_layer', 'texual_emb_layer'):
        shapes |= {
            **linear(f'{name}.linear', width, embed),
            **linear(f'{name}.mlp.layers.0', width, hidden),
            **linear(f'{name}.mlp.layers.1', hidden, embed),
            **batch_norm(f'{name}.mlp.bns.0', hidden),
            **batch_norm(f'{name}.mlp.bns.1', embed),
        }
    return shapes | linear('visul_emb_layer.fc', width, embed)


def batch_norm(name, width):
    return {
        **norm(name, width),
        f'{name}.running_mean': (width,),
        f'{name}.running_var': (width,),
        f'{name}.num_batches_tracked': (),
    }


def tinet(embed=512, hidden=512, word=512):
    return {
        **linear('fc_out', hidden, word),
        **linear('layers.0.0', embed, hidden),
        **linear('layers.1.0', hidden, hidden),
    }


def swin_block(name, width, heads, window, mask):
    places = window**2
    shapes = {f'{name}.attn_mask': (mask, places, places)} if mask else {}
    return shapes | {
        **norm(f'{name}.norm1', width),
        f'{name}.attn.relative_position_bias_table': (
            (2 * window - 1) ** 2,
            heads,
        ),
        f'{name}.attn.relative_position_index': (places, places),
        **linear(f'{name}.attn.qkv', width, 3 * width),
        **linear(f'{name}.attn.proj', width, width),
        **norm(f'{name}.norm2', width),
        **linear(f'{name}.mlp.fc1', width, 4 * width),
        **linear(f'{name}.mlp.fc2', 4 * width, width),
    }


def swin(
    width=128,
    depths=(2, 2, 18, 2),
    heads=(4, 8, 16, 32),
    windows=(7, 7, 7, 7),
    size=(224, 224),
):
    """Swin of Microsoft, by default Swin-B at 224, without classifier."""
    shapes = {
        'patch_embed.proj.weight': (width, 3, 4, 4),
        'patch_embed.proj.bias': (width,),
        **norm('patch_embed.norm', width),
    }
    sides = [side // 4 for side in size]
    for i, (depth, window) in enumerate(zip(depths, windows, strict=True)):
        area = sides[0] * sides[1] // window**2
        for j in range(depth):
            mask = area if j % 2 and min(sides) > window else 0
            name = f'layers.{i}.blocks.{j}'
            shapes |= swin_block(name, width, heads[i], window, mask)
        if i + 1 < len(depths):
            merge = f'layers.{i}.downsample'
            shapes |= linear(f'{merge}.reduction', 4 * width, 2 * width, False)
            shapes |= norm(f'{merge}.norm', 4 * width)
            width, sides = 2 * width, [side // 2 for side in sides]
    return shapes | norm('norm', width)


def bert_attention(name, width, source):
    return {
        **linear(f'{name}.self.query', width, width),
        **linear(f'{name}.self.key', source, width),
        **linear(f'{name}.self.value', source, width),
        **linear(f'{name}.output.dense', width, width),
        **norm(f'{name}.output.LayerNorm', width),
    }


def bert(
    width=768,
    hidden=3072,
    layers=12,
    fusion=6,
    image=1024,
    words=30522,
    positions=512,
):
    """BERT with masked words, its upper layers reading images."""
    places, head = 'bert.embeddings', 'cls.predictions'
    shapes = {
        f'{places}.position_ids': (1, positions),
        f'{places}.word_embeddings.weight': (words, width),
        f'{places}.position_embeddings.weight': (positions, width),
        f'{places}.token_type_embeddings.weight': (2, width),
        **norm(f'{places}.LayerNorm', width),
        f'{head}.bias': (words,),
        **linear(f'{head}.transform.dense', width, width),
        **norm(f'{head}.transform.LayerNorm', width),
        **linear(f'{head}.decoder', width, words),
    }
    for i in range(layers):
        name = f'bert.encoder.layer.{i}'
        shapes |= bert_attention(f'{name}.attention', width, width)
        if i >= fusion:
            shapes |= bert_attention(f'{name}.crossattention', width, image)
        shapes |= {
            **linear(f'{name}.intermediate.dense', width, hidden),
            **linear(f'{name}.output.dense', hidden, width),
            **norm(f'{name}.output.LayerNorm', width),
        }
    return shapes


def aptm(swin_cfg=None, bert_cfg=None, embed=256):
    """APTM of Swin-B at 384 x 128 and BERT-base."""
    swin_cfg = swin_cfg or dict(windows=(8, 8, 8, 4), size=(384, 128))
    image, text = swin(**swin_cfg), bert(**(bert_cfg or {}))
    wide = image['norm.bias'][0]
    width = text['bert.embeddings.LayerNorm.bias'][0]
    return {
        'temp': (),
        **prefixed(image, 'vision_encoder.'),
        **prefixed(text, 'text_encoder.'),
        **linear('vision_proj', wide, embed),
        **linear('text_proj', width, embed),
        **linear('itm_head.0', width, 2 * width),
        **norm('itm_head.1', 2 * width),
        **linear('itm_head.3', 2 * width, 2),
    }


def with_wora(shapes, rank=8):
    """Filtering-WoRA: every linear layer of the image tower is adapted."""
    adapted = {}
    for key, shape in shapes.items():
        name, _, leaf = key.rpartition('.')
        inside = key.startswith('vision_encoder.layers.')
        linear_ = len(shapes.get(f'{name}.weight', ())) == 2
        if not (inside and linear_):
            adapted[key] = shape
            continue
        adapted[f'{name}.linear.{leaf}'] = shape
        if leaf == 'weight':
            adapted |= {
                f'{name}.m': (1, shape[1]),
                f'{name}.lora.A': (shape[1], rank),
                f'{name}.lora.B': (rank, shape[0]),
                f'{name}.lora.alpha': (),
                f'{name}.lora.beta': (),
            }
    return adapted
