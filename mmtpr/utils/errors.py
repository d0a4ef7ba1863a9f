"""Errors whose message is all that a user needs: tools show no traceback."""


class LaunchError(RuntimeError):
    """A mistake in the command line or the config."""


class NonFiniteLossError(FloatingPointError):
    """A loss or a weight is NaN or infinite."""
