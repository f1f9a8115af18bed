"""How good masks are: simulated frames over hard backgrounds, against the simulator's truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from policies.mover import Mover, make_mover
from samg_ros.bench.scores import boundary_f, iou
from samg_ros.errors import ConfigError
from samg_ros.masking.masker import SamgMasker
from samg_ros.masking.result import STATUS_NAMES, MaskBatch
from sim_bridge.perturbations import make_perturbation
from sim_bridge.scene import Scene
from sim_bridge.task import make_task

# Control steps between two scored frames of an episode: neighbours look alike.
STRIDE = 9


@dataclass(frozen=True)
class TruthFrame:
    """A frame to be masked.

    ``rgb``: uint8 [H, W, 3]. ``targets``: uint8 [H, W], 0 or 1 + the index in ``names``.
    ``hidden``: the target that was painted over, or empty.
    """

    seed: int
    step: int
    rgb: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]
    hidden: str = ""

    @property
    def truth(self) -> np.ndarray:
        """Bool [H, W]: all targets."""
        return self.targets > 0


@dataclass(frozen=True)
class MaskScore:
    """How one frame was masked; ``score`` and ``status`` are what the masker itself says.

    ``targets``: of each, its name, how many pixels are ``visible``, its IoU, score and status.
    """

    seed: int
    step: int
    hidden: str
    iou: float
    boundary_f: float
    score: float
    status: str
    targets: list[dict]


def truth_frames(
    task: str, perturb: str, size: int, seeds: range, per_episode: int, *, hide: bool = False
) -> list[TruthFrame]:
    """Frames along one episode a seed, driven by the task's teacher or by random actions.

    :param size: side of the camera's picture, px. :param per_episode: frames at most.
    :param hide: every frame comes again with each target painted over by what is behind.
    :raises ConfigError: nothing is behind that a target could be painted over with.
    """
    perturbation = make_perturbation(perturb, task)
    if hide and perturbation.backdrop is None:
        raise ConfigError(
            f"--hide paints targets over, and {perturb!r} has nothing to paint with; "
            "choose photos or video_hard=FOLDER"
        )
    scene = Scene(make_task(task, height=size, width=size), perturbation)
    act = make_mover(task, scene.task.spec.action_size, seeds.start)
    try:
        return [frame for seed in seeds for frame in _episode(scene, act, seed, per_episode, hide)]
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
                    hidden=frame.hidden,
                    iou=iou(masks[i], frame.truth),
                    boundary_f=boundary_f(masks[i], frame.truth),
                    score=scores[i],
                    status=STATUS_NAMES[status[i]],
                    targets=_targets(masker.target_names, result, i, frame),
                ),
                masks[i],
            )


def _targets(names: tuple[str, ...], result: MaskBatch, i: int, frame: TruthFrame) -> list[dict]:
    """What became of each target of the batch's frame ``i``."""
    masks = result.target_masks[i].cpu().numpy()
    scores, likeness = result.scores[i].tolist(), result.likeness[i].tolist()
    status = result.status[i].tolist()
    told = []
    for t, name in enumerate(names):
        truth = frame.targets == frame.names.index(name) + 1
        told.append(
            {
                "name": name,
                "visible": int(truth.sum()),
                "iou": iou(masks[t], truth),
                "score": scores[t],
                "likeness": likeness[t],
                "status": STATUS_NAMES[status[t]],
            }
        )
    return told


def _episode(scene: Scene, act: Mover, seed: int, count: int, hide: bool) -> Iterator[TruthFrame]:
    names = scene.task.spec.targets
    result = scene.reset(seed)
    for taken in range(count):
        for hidden in ("", *(names if hide else ())):
            frame = scene.observe(hide=(hidden,) if hidden else ())
            yield TruthFrame(seed, frame.step, frame.rgb, frame.targets, names, hidden)
        for _ in range(STRIDE if taken + 1 < count else 0):
            result = scene.step(act(result))
            if result.done or result.success:
                return
