"""Names of RDE's weights: those of IRRA's CLIP, and two token layers.

Read off the class definitions of the release (QinYang79/RDE, the model and
its token layers) and the weights of its parity case. The file of a released
checkpoint was not at hand.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..keymap import Converted, KeyMap, Rule, prefixed
from .clip import OURS, clip_rules
from .irra import OWN_SCALE

#: Tower -> where the release keeps its token layer, and the linear layer of
#: it that is used there.
_LAYERS = dict(
    image=('visul_emb_layer.', 'fc'), text=('texual_emb_layer.', 'linear')
)
_UNUSED_LINEAR = "a linear layer that RDE's image side has and never uses"
_UNUSED_NORM = 'a batch norm behind the last layer that RDE never uses'


def rde_map(neck: str = 'tse') -> KeyMap:
    """Key map of RDE to a retriever with selected tokens.

    Args:
        neck (str): What the retriever calls its
            :class:`mmtpr.TokenSelection`. Defaults to ``'tse'``.

    Returns:
        KeyMap: RDE -> ``mmtpr.TextPersonRetriever``. The way back leaves out
        what RDE has and does not use, see :func:`with_unused`.
    """
    rules: list[Rule] = prefixed(clip_rules(), 'base_model.', OURS)
    ignored = {'visul_emb_layer.linear.{p}': _UNUSED_LINEAR}
    for tower, (layer, linear) in _LAYERS.items():
        ours = f'necks.{neck}.{tower}.'
        names = {
            linear: 'shortcut',
            'mlp.layers.0': 'hidden',
            'mlp.bns.0': 'norm',
            'mlp.layers.1': 'output',
        }
        rules += [
            Rule(f'{layer}{theirs}.{{p}}', f'{ours}{own}.{{p}}')
            for theirs, own in names.items()
        ]
        ignored[f'{layer}mlp.bns.1.{{p}}'] = _UNUSED_NORM
    ignored_back = {f'{OURS}logit_scale': OWN_SCALE, 'logit_scale': OWN_SCALE}
    return KeyMap('RDE', 'mmtpr', rules, ignored, ignored_back)


def neck_name(state: Mapping[str, Tensor]) -> str:
    """Find what a retriever calls its selection of tokens.

    Args:
        state (Mapping[str, Tensor]): State dict of a retriever.

    Returns:
        str: The name; ``tse`` if it has none.
    """
    for key in state:
        parts = key.split('.')
        if parts[0] == 'necks' and parts[2:4] == ['image', 'hidden']:
            return parts[1]
    return 'tse'


def with_unused(converted: Converted) -> Converted:
    """Add what RDE's classes hold and never use.

    The values are those that a batch norm has before training, which they
    keep there, and zeros for the linear layer, which is random there.

    Args:
        converted (Converted): Names of RDE, changed in place.

    Returns:
        Converted: The same, complete for a strict load.
    """
    state = converted.state
    for layer, _ in _LAYERS.values():
        bias = state.get(f'{layer}mlp.layers.1.bias')
        if bias is None:
            continue
        for name, value in (
            ('weight', torch.ones_like(bias)),
            ('bias', torch.zeros_like(bias)),
            ('running_mean', torch.zeros_like(bias)),
            ('running_var', torch.ones_like(bias)),
            ('num_batches_tracked', torch.zeros((), dtype=torch.long)),
        ):
            state.setdefault(f'{layer}mlp.bns.1.{name}', value)
    for name in ('weight', 'bias'):
        used = state.get(f'visul_emb_layer.fc.{name}')
        if used is not None:
            key = f'visul_emb_layer.linear.{name}'
            state.setdefault(key, torch.zeros_like(used))
    return converted
