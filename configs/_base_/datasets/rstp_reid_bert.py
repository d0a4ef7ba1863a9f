# RSTPReid for APTM: its pictures' mean and deviation; of its captions only
# letters and digits stay, as released.
_base_ = ['./rstp_reid.py', './person_bert_384x128.py']

normalisation = dict(
    mean=[70.6926, 66.4678, 77.4322], std=[66.5434, 63.9562, 64.4979])

clean = dict(type='mmtpr.CleanPersonCaption', strip_punctuation=True)
train_pipeline = [clean, *_base_.train_pipeline]
train_pipeline[1].transforms[-1].fill = normalisation['mean'][::-1]
test_pipeline = [clean, *_base_.test_pipeline]
rstp_train = _base_.rstp_train
rstp_train.pipeline = train_pipeline
rstp_val = _base_.rstp_val
rstp_val.pipeline = test_pipeline
rstp_test = _base_.rstp_test
rstp_test.pipeline = test_pipeline

train_dataloader = dict(dataset=rstp_train)
val_dataloader = dict(dataset=rstp_val)
test_dataloader = dict(dataset=rstp_test)
