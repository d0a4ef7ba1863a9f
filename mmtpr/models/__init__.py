"""Models: encoders, adapters, necks, losses and retrievers.

The parts are imported when they are asked for: what only embeds with an
exported model does without encoders and the libraries they bring.
"""

from typing import Any

__all__ = [
    'RetrievalDataPreprocessor',
    'adapters',
    'encoders',
    'heads',
    'losses',
    'necks',
    'retrievers',
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f'{__name__}.registered'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
