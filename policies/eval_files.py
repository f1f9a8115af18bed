"""What tells the files that an evaluation reads from others of the same name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from samg_ros.masking.config import MaskerConfig
from samg_ros.models.integrity import sha256_of
from sim_bridge.perturbations import parse


def look_files(looks: Iterable[str]) -> dict[str, str]:
    """By term and last part of its path: a digest of the file, or of what the folder holds.

    :param looks: texts of perturbations. Of a folder of clips the names and sizes count.
    """
    paths = {
        (term.name, Path(term.argument).expanduser())
        for look in looks
        for term in parse(look)
        if "/" in term.argument
    }
    return {f"{name}={path.name}": _digest(path) for name, path in sorted(paths)}


def weight_files(masker: MaskerConfig) -> dict[str, str]:
    """By option: digests of weights that were named; what is found by itself is pinned anyway."""
    named = {n: Path(v).expanduser() for n, v in asdict(masker).items() if n.endswith("_weights")}
    return {name: _digest(path) for name, path in named.items() if path.is_file()}


def _digest(path: Path) -> str:
    if path.is_file():
        return sha256_of(path)[:16]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()[:16]
