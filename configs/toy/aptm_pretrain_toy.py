# The cross-modal model of Filtering-WoRA (APTM), made small, on the noisy
# set, attributes included.
_base_ = [
    './_base_/aptm_data.py',
    './_base_/aptm_prompts.py',
    './_base_/aptm_model.py',
    './_base_/aptm_schedule.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(_base_.noisy_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(_base_.target_val, pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(_base_.target_test, pipeline=_base_.test_pipeline))

model = dict(
    losses=dict(
        attributes=dict(
            type='mmtpr.AttributePromptLoss',
            prompts=_base_.toy_prompts,
            vocab=_base_.vocab,
            num_matched=2)))
