# The scorer of scorer_toy.py on the noisy set, for
# tools/filtering/score_relevance.py.
_base_ = ['./scorer_toy.py']

train_dataloader = dict(
    dataset=dict(
        _base_.noisy_train, _delete_=True, pipeline=_base_.train_pipeline))
