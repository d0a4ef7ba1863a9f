"""Adapters: WoRA, DoRA and LoRA on any model's linear layers."""

from .attention import AdaptedMultiheadAttention
from .base import AdapterLinear
from .dora import DoRALinear
from .freeze import freeze_except_adapters
from .inject import ADAPTERS, adaptable_layers, inject_adapters
from .lora import LoRALinear
from .merge import (
    explain_ties,
    merge_adapters,
    remove_adapters,
    tied_weights,
    unmerge_adapters,
)
from .model import AdapterModel, WoRAModel
from .peft_layout import peft_adapter
from .stale import renew_stale_norms
from .state import (
    adapter_state_dict,
    load_adapter_state_dict,
    load_trainable_state_dict,
    named_adapters,
    trainable_state_dict,
)
from .wora import WoRALinear

__all__ = [
    'ADAPTERS',
    'AdaptedMultiheadAttention',
    'AdapterLinear',
    'AdapterModel',
    'DoRALinear',
    'LoRALinear',
    'WoRALinear',
    'WoRAModel',
    'adaptable_layers',
    'adapter_state_dict',
    'explain_ties',
    'freeze_except_adapters',
    'inject_adapters',
    'load_adapter_state_dict',
    'load_trainable_state_dict',
    'merge_adapters',
    'named_adapters',
    'peft_adapter',
    'remove_adapters',
    'renew_stale_norms',
    'tied_weights',
    'trainable_state_dict',
    'unmerge_adapters',
]
