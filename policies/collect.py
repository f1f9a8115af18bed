"""Training episodes: the student drives on what it sees while the teacher says what to do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.base import Observation
from policies.dataset import Episode
from policies.evaluation import robot_joints
from policies.preprocessing import area_resize
from policies.student import StudentPolicy
from policies.teacher import Teacher
from policies.training_view import Views
from sim_bridge.scene import Scene


@dataclass(frozen=True)
class Drive:
    """How an episode is driven. ``teacher_share`` is the probability that the teacher is drawn to
    drive (DAgger's beta), for a stretch of ``mean_stretch`` steps on average; ``exploration_std``
    is noise on the actions driven.
    ``max_steps`` is for tasks that tell success: others have to be driven to the end."""

    teacher_share: float
    mean_stretch: int
    exploration_std: float
    max_steps: int
    steps_after_success: int


def collect(
    scene: Scene,
    views: Views,
    teacher: Teacher,
    student: StudentPolicy | None,
    drive: Drive,
    image_size: int,
    seed: int,
) -> Episode:
    """Drive one episode. The student drives on the first of the views, the others are extra data.

    :param scene: without a perturbation.
    :param student: None lets the teacher drive alone.
    """
    rng = np.random.default_rng([seed, 0])
    ways = views(seed)
    frames, joints, states, labels = [], [], [], []
    if student:
        student.reset()
    result = scene.reset(seed)
    tells_success = result.success is not None
    teacher_drives = True
    succeeded, end = False, drive.max_steps if tells_success else scene.task.spec.episode_steps
    while result.step < end and not result.done:
        frame = scene.observe()
        images = [view(frame) for view in ways]
        frames.append([area_resize(image, image_size).transpose(2, 0, 1) for image in images])
        joints.append(robot_joints(scene.task))
        states.append(result.state)
        labels.append(teacher.label(result.state))
        action = labels[-1]
        if student:
            # It acts even where the teacher drives: its frame stack must not miss a frame.
            own = student.act(Observation(images[0], joints[-1]))
            if result.step == 0 or rng.random() < 1 / drive.mean_stretch:
                teacher_drives = rng.random() < drive.teacher_share
            action = action if teacher_drives else own
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
