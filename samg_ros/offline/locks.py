"""One process at a time: a lock that ends with the process that holds it, however it ends."""

from __future__ import annotations

import fcntl

from samg_ros.errors import ConfigError


def lock(descriptor: int, refusal: str) -> None:
    """Lock an open file or folder until ``descriptor`` is closed.

    :param refusal: what is told where another holds it.
    :raises ConfigError: another does.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(refusal) from error
