"""The pretended device as torch and mmengine see it."""

from contextlib import ExitStack
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from . import record
from .autocast import register_autocast
from .hollow import Memory, empty_host
from .mmengine_device import mmengine_uses
from .rules import NAME
from .tensor import PretendedTensor, compute, is_ours, unwrap

# Kept, or torch forgets what was registered.
_LIBRARIES: list[torch.library.Library] = []


def is_available() -> bool:
    """Tell whether this torch can be told of a device by Python alone.

    Returns:
        bool: Whether it has the private function, from 2.9 on.
    """
    try:
        from torch.utils import backend_registration
    except ImportError:
        return False
    return hasattr(
        backend_registration, '_setup_privateuseone_for_python_backend'
    )


class _Module:
    """What torch asks of ``torch.<device>``."""

    is_initialized = staticmethod(lambda: True)
    is_available = staticmethod(lambda: True)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed = staticmethod(lambda seed: None)
    manual_seed_all = staticmethod(lambda seed: None)
    synchronize = staticmethod(lambda device=None: None)
    get_rng_state = staticmethod(lambda device=None: torch.get_rng_state())
    set_rng_state = staticmethod(
        lambda state, device=None: torch.set_rng_state(state)
    )
    get_amp_supported_dtype = staticmethod(
        lambda: [torch.bfloat16, torch.float16]
    )


def _set_up() -> None:
    """Tell torch of the device, once a process."""
    if _LIBRARIES:
        return
    from torch.utils.backend_registration import (
        _setup_privateuseone_for_python_backend as set_up,
    )

    set_up(NAME, backend_module=_Module)
    # A storage cannot be on the device: what is loaded stays on the CPU until
    # a model or an optimizer takes it over.
    torch.serialization.register_package(
        0, lambda storage: None, _leave_on_cpu
    )
    _LIBRARIES.append(_register_kernels())
    _LIBRARIES.extend(register_autocast())


def _leave_on_cpu(storage: Any, location: str) -> Any:
    return storage if location.startswith(NAME) else None


def _register_kernels() -> torch.library.Library:
    """Register what C++ calls past the modes of Python, as ``x[[0, 1]]``."""
    library = torch.library.Library('aten', 'IMPL', 'PrivateUse1')

    def empty(size, *, dtype=None, **_):
        options = dict(dtype=dtype, device=_place(dtype))
        return PretendedTensor(torch.empty(size, **options))

    def empty_strided(size, stride, *, dtype=None, **_):
        options = dict(dtype=dtype, device=_place(dtype))
        return PretendedTensor(torch.empty_strided(size, stride, **options))

    def copy_from(source, target, non_blocking=False):
        found = record.active()
        if found is not None and is_ours(source) != is_ours(target):
            found.note('wait', 'copy of a Python list or from C++')
        if not (unwrap(source).is_meta and not unwrap(target).is_meta):
            unwrap(target).copy_(unwrap(source))
        return target

    library.impl('empty.memory_format', empty)
    library.impl('empty_strided', empty_strided)
    library.impl('_copy_from', copy_from)
    return library


def _place(dtype: torch.dtype | None) -> torch.device:
    """Where the numbers of a new tensor lie."""
    found = record.active()
    hollow = found is not None and found.memory is not None
    return empty_host(dtype) if hollow else torch.device('cpu')


class PretendedGPU(TorchDispatchMode, record.Record):
    """Context in which the pretended device works and is counted.

    Inside, mmengine takes it for the device of the machine, so that its
    runners put models there and ``AmpOptimWrapper`` trains in mixed
    precision.

    Args:
        hollow (bool): Whether floats have sizes alone and the attribute
            ``memory`` counts their bytes, see :mod:`.hollow`. Defaults to
            False.

    Raises:
        RuntimeError: If this torch cannot be told of it.
    """

    def __init__(self, hollow: bool = False) -> None:
        if not is_available():
            raise RuntimeError(
                f'torch {torch.__version__} cannot be told of a pretended '
                'GPU: it needs 2.9 or later.'
            )
        TorchDispatchMode.__init__(self)
        record.Record.__init__(self)
        self.memory = Memory() if hollow else None
        self._stack = ExitStack()

    def __enter__(self) -> 'PretendedGPU':
        """Enter."""
        _set_up()
        record.start(self)
        self._stack.callback(record.stop)
        self._stack.enter_context(_SwappedParameters())
        self._stack.enter_context(_NoInferenceMode())
        self._stack.enter_context(mmengine_uses(NAME))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Leave."""
        super().__exit__(*error)
        self._stack.close()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation; those that make tensors are met here alone."""
        return compute(func, args, kwargs or {})


class _SwappedParameters:
    """Lets parameters stay what they are when a module moves.

    Tied parameters stay tied and an optimizer keeps them, as on a GPU.
    """

    def __enter__(self) -> None:
        self._to = to = torch.nn.Module.to

        def moved(module, *args, **kwargs):
            ours = NAME in f'{args}{kwargs}'
            before = torch.__future__.get_swap_module_params_on_conversion()
            torch.__future__.set_swap_module_params_on_conversion(ours)
            try:
                return to(module, *args, **kwargs)
            finally:
                torch.__future__.set_swap_module_params_on_conversion(before)

        torch.nn.Module.to = moved  # type: ignore

    def __exit__(self, *error: Any) -> None:
        torch.nn.Module.to = self._to  # type: ignore[method-assign]


class _NoInferenceMode:
    """Makes ``inference_mode`` a ``no_grad``.

    A tensor that wraps another cannot be made in inference mode.
    """

    def __enter__(self) -> None:
        mode: Any = torch.inference_mode
        self._kept = mode.__enter__, mode.__exit__

        def enter(self):
            self._before = torch.is_grad_enabled()
            torch.set_grad_enabled(False)

        def leave(self, *error):
            torch.set_grad_enabled(self._before)

        mode.__enter__, mode.__exit__ = enter, leave

    def __exit__(self, *error: Any) -> None:
        mode: Any = torch.inference_mode
        mode.__enter__, mode.__exit__ = self._kept
