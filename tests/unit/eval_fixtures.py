"""Small stand-ins for evaluations: a policy for the toy block, maskers, records, folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drqv2_fixtures import SIZE, SPEC

from policies.base import Observation, policy_spec
from policies.checkpoints import shipped_students
from policies.eval import summary
from policies.eval.config import EvalConfig, command, settings
from policies.eval.folder import Cell, Episode, EpisodeRecord, EvalFolder
from policies.student.policy import StudentPolicy
from samg_ros.io.checkpoint import TrainingRecord
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.result import CameraFrame, FrameMask

TOY = SPEC.name


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no interval is looked at closely, a page need not take its time."""
    monkeypatch.setattr(summary, "RESAMPLES", 20)


class CenteringPolicy:
    """Brings what is white to the middle; where it sees nothing white it does not move.

    What it saw first after a reset stays in its actions, so that a policy that is shared by two
    episodes, or not reset between them, gives other returns.
    """

    def __init__(self) -> None:
        self.spec = policy_spec(SPEC, image_size=SIZE, frame_stack=1)
        self.reset()

    def reset(self) -> None:
        self._first: float | None = None

    def act(self, observation: Observation) -> np.ndarray:
        white = (observation.image == 255).all(axis=2)
        where = float(np.nonzero(white)[1].mean() / (SIZE - 1) * 2 - 1) if white.any() else 0.0
        self._first = where if self._first is None else self._first
        return np.array([-where + 0.1 * self._first], np.float32)


def white_masks(frames: Sequence[CameraFrame]) -> list[FrameMask]:
    """A masker that finds the toy's block exactly."""
    return [_mask((rgb == 255).all(axis=2), "found") for _, rgb in frames]


class CountingMasker:
    """Finds the block in every other frame that it is given; notes how many it got at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.cameras: set[str] = set()
        self._asked = 0

    def __call__(self, frames: Sequence[CameraFrame]) -> list[FrameMask]:
        self.batches.append(len(frames))
        self.cameras |= {camera for camera, _ in frames}
        found = []
        for mask in white_masks(frames):
            self._asked += 1
            lost = self._asked % 2 == 0
            found.append(_mask(np.zeros_like(mask.mask), "lost") if lost else mask)
        return found


def changed_student(folder: Path, **spec: object) -> Path:
    """The door's shipped student with another specification."""
    path = folder / "changed.safetensors"
    policy = StudentPolicy.load(shipped_students()["adroit_door"])
    policy.spec = replace(policy.spec, **spec)  # type: ignore[arg-type]
    policy.save(path, TrainingRecord("samg train student", 0, 0.0, {}, "source"))
    return path


def _mask(mask: np.ndarray, status: str) -> FrameMask:
    return FrameMask(mask=mask, score=1.0, status=status, targets={"block": status})


def episodes(mask: str, seeds: Sequence[int], policy: str = "centering") -> list[Episode]:
    """Episodes of the toy."""
    return [Episode(Cell(TOY, policy, mask, "none"), seed) for seed in seeds]


def success_records(cell: Cell, successes: Sequence[int], **scores: float) -> list[EpisodeRecord]:
    """Records of seeds 0, 1, ... that tell success (1) or none (0)."""
    return [
        EpisodeRecord(Episode(cell, seed), bool(good), 10, float(good), **scores)
        for seed, good in enumerate(successes)
    ]


def return_records(cell: Cell, returns: Sequence[float]) -> list[EpisodeRecord]:
    """Records of seeds 0, 1, ... of a task that has no success."""
    return [EpisodeRecord(Episode(cell, s), None, 10, value) for s, value in enumerate(returns)]


def open_folder(path: Path, config: EvalConfig, cells: Sequence[Cell] = ()) -> EvalFolder:
    """A folder without the checks of what is to be run."""
    masker = MaskerConfig()
    about = {
        "cells": [str(cell) for cell in cells],
        "checkpoints": {"student of door": "c0ffee"},
        "references": {"adroit_door": "7ea", "walker_walk": "7ea"},
    }
    told = {**settings(config, masker), **about}
    return EvalFolder(path, told, command(config, masker))


class FakeRay:
    """Ray's face, with everything run in this process, as soon as it is waited for."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

    def __init__(self) -> None:
        self.address = ""
        self.options: list[dict[str, int]] = []

    def init(self, address: str, **about: object) -> None:
        self.address = address

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "GPU": 1.0}

    def remote(self, function: Callable) -> FakeRemote:
        return FakeRemote(self, function)

    def wait(self, pending: list, num_returns: int) -> tuple[list, list]:
        return pending[-1:], pending[:-1]  # the last one is the first to be done

    def get(self, call: Callable) -> object:
        return call()


class FakeRemote:
    def __init__(self, ray: FakeRay, function: Callable) -> None:
        self._ray, self._function = ray, function

    def options(self, **options: int) -> FakeRemote:
        self._ray.options.append(options)
        return self

    def remote(self, *arguments: object) -> Callable:
        return lambda: self._function(*arguments)
