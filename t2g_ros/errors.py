"""The exceptions a caller may want to tell apart; every message says found, expected, and what to do."""


class T2GError(Exception):
    """Base of all errors that t2g_ros raises on purpose."""


class InputError(T2GError):
    """An image, bag, folder or video cannot be read as what it claims to be."""


class ModelError(T2GError):
    """A weights file or model config is missing, corrupt, foreign or inconsistent."""


class RuntimeUnavailable(T2GError):
    """The inference engine asked for cannot run on this machine."""


class InstallationError(T2GError):
    """The files that belong to the package are not where it is installed."""


class EngineDown(T2GError):
    """The inference engine has failed for good and is not back yet."""
