# MALS for APTM, attributes included; CUHK-PEDES chooses the epoch. Mean and
# deviation are those of MALS. The release tests on CUHK-PEDES with that set's
# own; one model has one normalisation here.
_base_ = [
    './mals.py',
    './mals_prompts.py',
    './cuhk_pedes.py',
    './person_bert_384x128.py',
]

normalisation = dict(
    mean=[112.6296, 106.6228, 108.0550], std=[78.7505, 75.8457, 76.7573])

mals_train = _base_.mals_train
mals_train.pipeline = _base_.pretrain_pipeline
mals_train.pipeline[0].transforms[-1].fill = normalisation['mean'][::-1]
cuhk_val = _base_.cuhk_val
cuhk_val.pipeline = _base_.test_pipeline
cuhk_test = _base_.cuhk_test
cuhk_test.pipeline = _base_.test_pipeline

train_dataloader = dict(batch_size=150, dataset=mals_train)
val_dataloader = dict(dataset=cuhk_val)
test_dataloader = dict(dataset=cuhk_test)

attribute_loss = dict(
    type='mmtpr.AttributePromptLoss',
    prompts=_base_.mals_prompts,
    vocab=_base_.vocab,
    weight=0.8,
    num_matched=5,
    # As released; the paper names no smoothing.
    label_smoothing=0.4)
