# CUHK-PEDES for APTM: its pictures' mean and deviation, captions as they are.
_base_ = ['./cuhk_pedes.py', './person_bert_384x128.py']

normalisation = dict(
    mean=[99.1983, 93.1161, 88.8328], std=[62.0780, 60.5337, 59.5898])

train_pipeline = _base_.train_pipeline
train_pipeline[0].transforms[-1].fill = normalisation['mean'][::-1]
cuhk_train = _base_.cuhk_train
cuhk_train.pipeline = train_pipeline
cuhk_val = _base_.cuhk_val
cuhk_val.pipeline = _base_.test_pipeline
cuhk_test = _base_.cuhk_test
cuhk_test.pipeline = _base_.test_pipeline

train_dataloader = dict(dataset=cuhk_train)
val_dataloader = dict(dataset=cuhk_val)
test_dataloader = dict(dataset=cuhk_test)
