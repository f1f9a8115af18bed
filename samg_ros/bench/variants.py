"""The masker with one of its steps left out at a time, to see what each is worth."""

from __future__ import annotations

from dataclasses import replace

from samg_ros.errors import ConfigError
from samg_ros.masking.config import PAPER, MaskerConfig

# What a variant changes of the configuration that is benched.
STEPS: dict[str, dict] = {
    "no second look": {"zoom": False},
    "no clicks": {"clicks": False},
    "choice as published": {"agreement": 0.0},
    "choice by predicted IoU": {"agreement": 0.0, "scale_steps": 0},
    "one view": {"views": 1},
    "no part points": {"parts": False},
    "no negatives": {"negatives": False},
    "one refinement": {"refine_steps": 1},
    "no refinement": {"refine_steps": 0},
    "segmenter's features alone": {"features": "none"},
}


def variants(config: MaskerConfig, ablate: bool) -> dict[str, MaskerConfig]:
    """What is benched, by name: the configuration, then each step left out, then the paper's.

    A step that the configuration has left out already is not listed.

    :raises ConfigError: to ablate the paper's method leaves nothing to compare.
    """
    if not ablate:
        return {"": config}
    if config.method == "paper":
        raise ConfigError("leave out either --ablate or --method paper: the one shows the other")
    changed = {name: replace(config, **change) for name, change in STEPS.items()}
    paper = replace(config, **PAPER)
    told = {"as given": config, **{n: c for n, c in changed.items() if c != config}}
    return {**told, "as published": paper}
