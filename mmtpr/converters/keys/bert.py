"""Names of BERT's weights, as everyone keeps them."""

#: Within an attention: what queries, keys and values are made with.
BERT_INPUTS = ('query.{p}', 'key.{p}', 'value.{p}')
#: After an attention or a feed-forward layer.
BERT_OUTPUT = ('dense.{p}', 'LayerNorm.{p}')
BERT_EMBEDDINGS = (
    'word_embeddings.weight',
    'position_embeddings.weight',
    'token_type_embeddings.weight',
    'LayerNorm.{p}',
)
#: Within a layer; ``crossattention`` is in those that read images.
BERT_LAYER = (
    *(
        f'{kind}.{part}.{name}'
        for kind in ('attention', 'crossattention')
        for part, names in (('self', BERT_INPUTS), ('output', BERT_OUTPUT))
        for name in names
    ),
    'intermediate.dense.{p}',
    *(f'output.{name}' for name in BERT_OUTPUT),
)
#: Within the head that predicts masked words.
BERT_WORDS = (
    'predictions.bias',
    'predictions.transform.dense.{p}',
    'predictions.transform.LayerNorm.{p}',
    'predictions.decoder.{p}',
)
