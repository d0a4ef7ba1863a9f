# As word4per_toy.py, but the pseudo word is to mean what the image shows.
_base_ = ['./word4per_toy.py']

model = dict(losses=dict(_delete_=True, vis=dict(type='mmtpr.SDMLoss')))
