"""Registries of mmtpr: children of mmengine's root ones, scope ``mmtpr``.

Each has ``locations``, so a component registers itself the first time someone
asks for ``mmtpr.X``, also from a config of another OpenMMLab project.

This file imports nothing but mmengine: an ``ImportError`` raised here would be
swallowed by mmengine and turn into "not in the registry".
"""

import mmengine.registry as _mmengine
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import INFERENCERS as MMENGINE_INFERENCERS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

#: Models, encoders, adapters, necks, heads, losses and data preprocessors.
MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mmtpr',
    locations=['mmtpr.models', 'mmtpr.models.registered'],
)
#: Datasets and dataset wrappers.
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mmtpr',
    locations=['mmtpr.datasets'],
)
#: Data transforms.
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='mmtpr',
    locations=['mmtpr.datasets.transforms'],
)
#: Samplers and batch samplers.
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=MMENGINE_DATA_SAMPLERS,
    scope='mmtpr',
    locations=['mmtpr.datasets.samplers'],
)
#: Functions, such as those that collate batches.
FUNCTIONS = Registry(
    'function',
    parent=MMENGINE_FUNCTIONS,
    scope='mmtpr',
    locations=['mmtpr.structures'],
)
#: Evaluation metrics.
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='mmtpr',
    locations=['mmtpr.evaluation'],
)
#: Hooks.
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmtpr',
    locations=['mmtpr.engine'],
)
#: Loops. The stock loops do retrieval, so this node is filled only by methods
#: with an evaluation stage of their own.
LOOPS = Registry(
    'loop', parent=MMENGINE_LOOPS, scope='mmtpr', locations=['mmtpr.engine']
)
#: Constructors of optimizer wrappers: which parameter learns how.
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mmtpr',
    locations=['mmtpr.engine'],
)
#: Wrappers of models: how they are spread over processes.
MODEL_WRAPPERS = Registry(
    'model_wrapper',
    parent=MMENGINE_MODEL_WRAPPERS,
    scope='mmtpr',
    locations=['mmtpr.engine'],
)
#: Visualizers.
VISUALIZERS = Registry(
    'visualizer',
    parent=MMENGINE_VISUALIZERS,
    scope='mmtpr',
    locations=['mmtpr.visualization'],
)
#: Pair selectors: which pairs of a dataset train.
TASK_UTILS = Registry(
    'task util',
    parent=MMENGINE_TASK_UTILS,
    scope='mmtpr',
    locations=['mmtpr.datasets'],
)
#: Inferencers.
INFERENCERS = Registry(
    'inferencer',
    parent=MMENGINE_INFERENCERS,
    scope='mmtpr',
    locations=['mmtpr.apis'],
)

#: Parts of the data engine: writers, renderers and judges. mmengine has no
#: such registry.
SYNTHESIS = Registry(
    'synthesis component', scope='mmtpr', locations=['mmtpr.data_engine']
)

# Nothing of ours is in these. They exist so that mmengine finds its own parts
# under the scope mmtpr without a warning at each of them.
_EMPTY = [
    Registry(parent.name, parent=parent, scope='mmtpr')
    for parent in (
        _mmengine.EVALUATOR,
        _mmengine.LOG_PROCESSORS,
        _mmengine.OPTIM_WRAPPERS,
        _mmengine.OPTIMIZERS,
        _mmengine.PARAM_SCHEDULERS,
        _mmengine.RUNNERS,
        _mmengine.STRATEGIES,
        _mmengine.VISBACKENDS,
        _mmengine.WEIGHT_INITIALIZERS,
    )
]
