"""The record beside a weights file (``NAME.EXT.json``): where it came from and what it is."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from samg_ros.models.checkpoints import Checkpoint
from samg_ros.models.integrity import sha256_of
from samg_ros.models.sources.spec import Source

UNKNOWN = "unknown"
BY_HAND = "by hand"
REQUIRED = {"size", "sha256", "source", "variant"}


def path_of(file: Path) -> Path:
    """The record beside ``file``."""
    return file.with_name(file.name + ".json")


def read(file: Path) -> dict[str, Any]:
    """The record beside ``file``; empty if there is none that can be used."""
    try:
        record = json.loads(path_of(file).read_text())
        return record if record.keys() >= REQUIRED else {}
    except (OSError, ValueError, AttributeError):
        return {}


def write(file: Path, record: dict[str, Any]) -> None:
    """Write the record beside ``file`` in one step."""
    target = path_of(file)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(target)


def make(checkpoint: Checkpoint, source: Source | None, file: Path) -> dict[str, Any]:
    """A record of ``file``, which came from ``source`` (``None``: nobody knows)."""
    return {
        "checkpoint": checkpoint.name,
        "source": source.kind if source else BY_HAND,
        "variant": source.variant if source else UNKNOWN,
        "feature_layer": source.feature_layer if source else checkpoint.feature_layer,
        "notes": source.notes if source else "",
        "size": file.stat().st_size,
        "sha256": sha256_of(file),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def identify(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    """A record for a file without one: the table's digests tell which variant it is."""
    record = make(checkpoint, None, file)
    for source in checkpoint.sources:
        if record["sha256"] == source.stored_sha256:
            facts = ("variant", "feature_layer", "notes")
            return {**record, **{fact: getattr(source, fact) for fact in facts}}
    return record
