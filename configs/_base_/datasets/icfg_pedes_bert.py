# ICFG-PEDES for APTM: its pictures' mean and deviation; of its captions only
# letters and digits stay, as released.
_base_ = ['./icfg_pedes.py', './person_bert_384x128.py']

normalisation = dict(
    mean=[78.9010, 73.8401, 77.3856], std=[65.9170, 62.5966, 60.3381])

clean = dict(type='mmtpr.CleanPersonCaption', strip_punctuation=True)
train_pipeline = [clean, *_base_.train_pipeline]
train_pipeline[1].transforms[-1].fill = normalisation['mean'][::-1]
test_pipeline = [clean, *_base_.test_pipeline]
icfg_train = _base_.icfg_train
icfg_train.pipeline = train_pipeline
icfg_val = _base_.icfg_val
icfg_val.pipeline = test_pipeline
icfg_test = _base_.icfg_test
icfg_test.pipeline = test_pipeline

train_dataloader = dict(dataset=icfg_train)
val_dataloader = dict(dataset=icfg_val)
test_dataloader = dict(dataset=icfg_test)
