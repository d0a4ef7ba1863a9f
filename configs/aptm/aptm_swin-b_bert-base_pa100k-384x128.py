# APTM's attributes on PA-100K: two sentences for each, the cross encoder
# decides. For tests of a checkpoint, of configs/aptm_mals.py or converted;
# what trains is the pre-training, which configs/aptm_mals.py is for. Mean and
# deviation are those of MALS: a checkpoint tuned on another set wants that
# set's, in model.data_preprocessor.
_base_ = [
    './aptm_swin-b_bert-base_8xb150-32e_mals-384x128.py',
    '../_base_/datasets/pa100k.py',
]

# The checkpoint brings all weights.
model = dict(encoder=dict(image_pretrained=None, text_pretrained=None))

image_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=_base_.load), _base_.pack
]
test_dataloader = dict(
    dataset=dict(_base_.pa100k_test, _delete_=True, pipeline=image_pipeline))
test_cfg = dict(
    _delete_=True,
    type='mmtpr.AttributeTestLoop',
    prompts=_base_.pa100k_prompts,
    tokenizer=dict(
        type='mmtpr.TokenizeBert',
        vocab=_base_.vocab,
        max_length=32,
        clean=False))
test_evaluator = dict(_delete_=True, type='mmtpr.AttributeMetric')
