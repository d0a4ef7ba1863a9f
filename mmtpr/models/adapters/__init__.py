"""Adapters: WoRA, DoRA, LoRA and OFT on layers of any model."""

from .attention import AdaptedMultiheadAttention
from .base import AdapterLinear
from .conv import DoRAConv2d, LoRAConv2d, WoRAConv2d
from .conv_base import AdapterConv2d
from .dora import DoRALinear
from .freeze import freeze_except_adapters
from .fused_qkv import AdaptedQKV, register_fused_qkv
from .inject import inject_adapters
from .kinds import ADAPTERS, CONV_ADAPTERS
from .layer import AdapterLayer
from .lora import LoRALinear
from .merge import (
    explain_ties,
    merge_adapters,
    remove_adapters,
    tied_weights,
    unmerge_adapters,
)
from .model import AdapterModel, WoRAModel
from .offer import adaptable_layers
from .oft import OFTLinear
from .peft_layout import peft_adapter
from .peft_reading import (
    PeftAdapter,
    load_peft_adapter,
    read_peft_adapter,
)
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
    'CONV_ADAPTERS',
    'AdaptedMultiheadAttention',
    'AdaptedQKV',
    'AdapterConv2d',
    'AdapterLayer',
    'AdapterLinear',
    'AdapterModel',
    'DoRAConv2d',
    'DoRALinear',
    'LoRAConv2d',
    'LoRALinear',
    'OFTLinear',
    'PeftAdapter',
    'WoRAConv2d',
    'WoRALinear',
    'WoRAModel',
    'adaptable_layers',
    'adapter_state_dict',
    'explain_ties',
    'freeze_except_adapters',
    'inject_adapters',
    'load_adapter_state_dict',
    'load_peft_adapter',
    'load_trainable_state_dict',
    'merge_adapters',
    'named_adapters',
    'peft_adapter',
    'read_peft_adapter',
    'register_fused_qkv',
    'remove_adapters',
    'renew_stale_norms',
    'tied_weights',
    'trainable_state_dict',
    'unmerge_adapters',
]
