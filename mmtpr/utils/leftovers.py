"""Settings of a base config that a wrapper was given by mistake."""

import inspect
from functools import wraps
from typing import TypeVar

C = TypeVar('C', bound=type)


def refuse_leftovers(wrapper: C) -> C:
    """Let a wrapper say what to do about settings that it does not take.

    A config that puts a wrapper in the place of what it wraps keeps the
    settings of the wrapped part, because mmengine merges dicts.

    Args:
        wrapper (type): The class; changed in place.

    Returns:
        type: The class.
    """
    init = wrapper.__init__  # type: ignore[misc]
    taken = inspect.signature(init).parameters

    @wraps(init)
    def checked(self, *args, **kwargs):
        extra = [name for name in kwargs if name not in taken]
        if extra:
            raise TypeError(
                f'{wrapper.__name__} does not take {", ".join(extra)}. If the '
                'base config set it: write _delete_=True into the dict with '
                f'type={wrapper.__name__!r}, which then holds only what is '
                'written there.'
            )
        init(self, *args, **kwargs)

    wrapper.__init__ = checked  # type: ignore[misc]
    return wrapper
