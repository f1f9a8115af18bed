"""How good masks are: simulated frames over hard backgrounds, against the simulator's truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from policies.mover import Mover, make_mover
from samg_ros.bench.scores import boundary_f, iou
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.result import STATUS_NAMES
from sim_bridge.perturbations import make_perturbation
from sim_bridge.scene import Scene
from sim_bridge.task import make_task

# Control steps between two scored frames of an episode: neighbours look alike.
STRIDE = 9


@dataclass(frozen=True)
class TruthFrame:
    """A frame to be masked.

    ``rgb``: uint8 [H, W, 3]. ``targets``: uint8 [H, W], 0 or 1 + the target's index.
    """

    seed: int
    step: int
    rgb: np.ndarray
    targets: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Bool [H, W]: all targets."""
        return self.targets > 0


@dataclass(frozen=True)
class MaskScore:
    """How one frame was masked; ``score`` and ``status`` are what the masker itself says."""

    seed: int
    step: int
    iou: float
    boundary_f: float
    score: float
    status: str


def truth_frames(
    task: str, perturb: str, size: int, seeds: range, per_episode: int
) -> list[TruthFrame]:
    """Frames along one episode a seed, driven by the task's teacher or by random actions.

    :param size: side of the camera's picture, px. :param per_episode: frames at most.
    """
    perturbation = make_perturbation(perturb, task)
    scene = Scene(make_task(task, height=size, width=size), perturbation)
    act = make_mover(task, scene.task.spec.action_size, seeds.start)
    try:
        return [frame for seed in seeds for frame in _episode(scene, act, seed, per_episode)]
    finally:
        scene.close()


def score_frames(
    masker: SamgMasker, frames: list[TruthFrame], batch: int = 1
) -> Iterator[tuple[MaskScore, np.ndarray]]:
    """Mask frames of one size. :return: the score and the mask, bool [H, W], of each."""
    for start in range(0, len(frames), batch):
        chunk = frames[start : start + batch]
        result = masker(torch.from_numpy(np.stack([frame.rgb for frame in chunk])))
        masks = result.mask.cpu().numpy()
        scores, status = result.score.tolist(), result.frame_status.tolist()
        for i, frame in enumerate(chunk):
            yield (
                MaskScore(
                    seed=frame.seed,
                    step=frame.step,
                    iou=iou(masks[i], frame.truth),
                    boundary_f=boundary_f(masks[i], frame.truth),
                    score=scores[i],
                    status=STATUS_NAMES[status[i]],
                ),
                masks[i],
            )


def _episode(scene: Scene, act: Mover, seed: int, count: int) -> Iterator[TruthFrame]:
    result = scene.reset(seed)
    for taken in range(count):
        frame = scene.observe()
        yield TruthFrame(seed, frame.step, frame.rgb, frame.targets)
        for _ in range(STRIDE if taken + 1 < count else 0):
            result = scene.step(act(result))
            if result.done or result.success:
                return
