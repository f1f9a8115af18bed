"""The one error hierarchy. A message says what was wrong, where, and what to do about it."""


class SamgError(Exception):
    """Base of every error raised on purpose; the CLI prints it without a traceback."""


class ConfigError(SamgError):
    """A parameter, option or name that cannot be used."""


class InvalidReferenceError(SamgError):
    """A reference (image, masks, points) that is empty, inconsistent or unreadable."""


class WeightsError(SamgError):
    """A checkpoint that cannot be found, fetched, verified or converted."""


class ImageError(SamgError):
    """An image that is malformed: wrong length, unknown encoding, zero size."""


class CheckpointError(SamgError):
    """A policy checkpoint that is truncated, of another version or of another task."""


class SimulationError(SamgError):
    """The simulator, its renderer or one of its inputs cannot be used."""


class BagError(SamgError):
    """A bag that cannot be written or read."""


class UnsafeActionError(SamgError):
    """An action of a policy that must not reach a robot."""


class ImplausibleStateError(SamgError):
    """A measured state of the robot that cannot be true, or is not there: hold until it is."""


def quoted(text: object, most: int = 80) -> str:
    """Foreign text for a message: printable, on one line, at most ``most`` characters of it."""
    shown = repr(str(text)[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 2]}..."
