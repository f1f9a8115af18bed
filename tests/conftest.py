"""Fixtures that every kind of test shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from samg_ros.machine import single_thread


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A module's small models on one thread: more wait for each other."""
    with single_thread():
        yield
