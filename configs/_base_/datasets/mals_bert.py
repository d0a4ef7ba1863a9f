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

train_images = dict(
    type='mmtpr.ImageTransforms',
    transforms=[
        *_base_.augmented,
        dict(_base_.erase, fill=normalisation['mean'][::-1]),
    ])
train_pipeline = [train_images, *_base_.pretrain_texts]

train_dataloader = dict(
    batch_size=150,
    dataset=dict(_base_.mals_train, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.cuhk_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.cuhk_test, pipeline=_base_.test_pipeline))

attribute_loss = dict(
    type='mmtpr.AttributePromptLoss',
    prompts=_base_.mals_prompts,
    vocab=_base_.vocab,
    weight=0.8,
    num_matched=5,
    # As released; the paper names no smoothing.
    label_smoothing=0.4)
