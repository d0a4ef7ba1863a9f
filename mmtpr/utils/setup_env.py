"""Registration of all components, for notebooks and tests."""

from importlib import import_module

_LOCATIONS = (
    'mmtpr.apis',
    'mmtpr.datasets',
    'mmtpr.engine',
    'mmtpr.evaluation',
    'mmtpr.models.registered',
    'mmtpr.structures',
    'mmtpr.visualization',
)


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register every component of mmtpr.

    Args:
        init_default_scope (bool): Whether to make ``mmtpr`` the default scope.
            Defaults to True.
    """
    # Imported here, so that the version check of mmtpr comes first.
    from mmengine import DefaultScope

    for location in _LOCATIONS:
        import_module(location)
    if init_default_scope and not DefaultScope.check_instance_created('mmtpr'):
        DefaultScope.get_instance('mmtpr', scope_name='mmtpr')
