# The pairs of data.py for a cross-modal model: BERT's words, and re-ranking in
# validation and test.
_base_ = ['./data.py']

vocab = f'{_base_.toy_root}/vocab.txt'  # the words of the toy captions
load = dict(type='LoadImageFromFile')
tokenize = dict(
    type='mmtpr.TokenizeBert', vocab=vocab, max_length=36, clean=False)
pack = dict(type='mmtpr.PackRetrievalInputs')

train_pipeline = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[
            load,
            dict(type='mmtpr.SharedFlip', prob=0.5),
            dict(type='mmtpr.PadCrop', padding=2),
        ]),
    tokenize,
    pack,
]
test_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=[load]), tokenize, pack
]

val_cfg = dict(type='mmtpr.RerankValLoop', num_candidates=32)
test_cfg = dict(type='mmtpr.RerankTestLoop', num_candidates=32)
# The weight was chosen on val: cosines of a shared space learn faster than
# the judge of pairs, and the published 0.002 would leave all to the judge.
val_evaluator = dict(
    _delete_=True,
    type='mmtpr.RerankedRetrievalMetric',
    cosine_weight=16.0)
test_evaluator = val_evaluator
