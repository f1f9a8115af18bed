"""Training episodes: the student drives on noisy masks while the teacher says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.base import Observation
from policies.dataset import Episode
from policies.evaluation import robot_joints
from policies.mask_noise import MaskNoise
from policies.mask_source import masked
from policies.preprocessing import area_resize
from policies.student import StudentPolicy
from policies.teacher import Teacher
from sim_bridge.backgrounds import Background, composite
from sim_bridge.scene import Scene, SceneFrame


@dataclass(frozen=True)
class Drive:
    """How an episode is driven. ``teacher_share`` is the probability, drawn at every step, that
    the teacher acts (DAgger's beta); ``exploration_std`` is noise on the actions driven."""

    teacher_share: float
    exploration_std: float
    max_steps: int
    steps_after_success: int


class Masking:
    """One way a segmenter might have seen an episode: its own faults and its own background."""

    def __init__(self, background: Background, seed: Sequence[int]) -> None:
        rng = np.random.default_rng(seed)
        self._background = background
        self._background.reset(int(rng.integers(2**31)))
        self._noise = MaskNoise(rng)

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:param frame: before any background. :return: uint8 [H, W, 3], masked."""
        mask = self._noise(frame.targets)
        behind = self._background.frame(frame.step, *mask.shape)
        return masked(composite(frame.rgb, frame.targets > 0, behind), mask)


def collect(
    scene: Scene,
    backgrounds: Sequence[Background],
    teacher: Teacher,
    student: StudentPolicy | None,
    drive: Drive,
    image_size: int,
    seed: int,
) -> Episode:
    """Drive one episode. The student sees the first of the maskings, the others are extra data.

    :param scene: without a background; ``backgrounds``: one a masking.
    :param student: None lets the teacher drive alone.
    """
    rng = np.random.default_rng([seed, 0])
    maskings = [Masking(background, [seed, 1, i]) for i, background in enumerate(backgrounds)]
    frames, joints, states, labels = [], [], [], []
    if student:
        student.reset()
    result = scene.reset(seed)
    succeeded, end = False, drive.max_steps
    while result.step < end and not result.done:
        frame = scene.observe()
        images = [masking(frame) for masking in maskings]
        frames.append([area_resize(image, image_size).transpose(2, 0, 1) for image in images])
        joints.append(robot_joints(scene.task))
        states.append(result.state)
        labels.append(teacher.label(result.state))
        action = labels[-1]
        if student:
            # It acts even where the teacher drives: its frame stack must not miss a frame.
            own = student.act(Observation(images[0], joints[-1]))
            action = action if rng.random() < drive.teacher_share else own
        result = scene.step(action + rng.normal(0, drive.exploration_std, action.shape))
        if result.success and not succeeded:
            succeeded, end = True, min(end, result.step + drive.steps_after_success)
    return Episode(
        frames=np.array(frames),
        joints=np.stack(joints),
        states=np.stack(states),
        labels=np.stack(labels),
        success=succeeded,
    )
