"""What the shipped policies reached when they were trained, as their files tell it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.checkpoint import load_checkpoint
from policies.checkpoints import acting, shipped

# What scores are of, in the order in which people read them, and how files call it.
SOURCES = {
    "teacher": "teacher",
    "true masks": "oracle",
    "faulty masks": "oracle+noise",
    "raw picture": "none",
    "raw, clean": "none_clean",
    "nothing": "black",
}


@dataclass(frozen=True)
class Scores:
    """One policy's. ``scores``: by what it was shown (:data:`SOURCES`), success rates in [0, 1]
    or mean returns, as ``is_return`` says."""

    name: str
    is_return: bool
    scores: dict[str, float]


def scores_of(name: str, path: Path) -> Scores:
    """:raises CheckpointError: it cannot be used."""
    told = dict(load_checkpoint(path).record.scores)
    is_return = any(key.endswith("_return") for key in told)
    ending = "_return" if is_return else ""
    known = {shown: told[key + ending] for shown, key in SOURCES.items() if key + ending in told}
    return Scores(name, is_return, known)


def shipped_scores() -> list[Scores]:
    """Of all that ship and act on pictures."""
    return [scores_of(name, shipped()[name]) for name in acting()]


def cells(scores: Scores) -> list[str]:
    """A row under :func:`headings`."""
    form = "{:.0f}" if scores.is_return else "{:.2f}"
    shown = [form.format(v) if (v := scores.scores.get(s)) is not None else "" for s in SOURCES]
    return [scores.name, "return" if scores.is_return else "success", *shown]


def headings() -> list[str]:
    """Of the table."""
    return ["policy", "score", *SOURCES]
