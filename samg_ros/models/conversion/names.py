"""Rename tensors by ordered rules."""

from __future__ import annotations

import re
from collections.abc import Sequence


def rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """Apply each ``(pattern, replacement)`` of ``rules`` in turn; patterns are regular."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
