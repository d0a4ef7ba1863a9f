"""A small model to put adapters into: around a part, around the whole."""

from mmengine.model import BaseModel, BaseModule
from torch import nn

TARGETS = [dict(type='fc1'), dict(type='fc2', rank=1)]


class Backbone(BaseModule):
    """Gets its "pretrained" weights in init_weights, as mm backbones do."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.fc1 = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.fc2 = nn.Linear(8, 4)
        self.times = 0

    def init_weights(self):
        super().init_weights()
        self.times += 1
        nn.init.constant_(self.fc1.weight, 0.5)

    def forward(self, x):
        return self.fc2(self.norm(self.fc1(x)).relu())

    def describe(self):
        return 'a backbone'


class Classifier(BaseModel):
    def __init__(self, backbone, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.before = nn.Linear(6, 6)
        self.backbone = backbone
        self.head = nn.Linear(4, 2)

    def forward(self, inputs, labels=None, mode='tensor'):
        logits = self.head(self.backbone(self.before(inputs)))
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(logits, labels))
        return logits if mode == 'tensor' else [logits]
