"""A task small enough to be learnt in seconds: a block that is to be brought to the middle."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samg_ros.errors import SimulationError
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import JointState, StepResult, Task, TaskSpec

if TYPE_CHECKING:
    from policies.drqv2.config import DrQV2Config

SIZE = 32
BLOCK = 8
SPEED = 0.2
EPISODE_STEPS = 20
SPEC = TaskSpec(
    name="toy_block",
    actuated_joints=("slide",),
    command_mode="velocity",
    command_low=(-1.0,),
    command_high=(1.0,),
    joint_names=("slide",),
    proprioception=("slide",),
    cameras=("front",),
    default_camera="front",
    targets=("block",),
    control_dt_s=0.1,
    action_repeat=2,
    episode_steps=EPISODE_STEPS,
)


class BlockTask:
    """The block's place is in [-1, 1], the reward is 1 in the middle and falls to 0 at the
    sides. Behind it is a grid of noise that an oracle mask removes."""

    def __init__(self, episode_steps: int = EPISODE_STEPS) -> None:
        self.spec = replace(SPEC, episode_steps=episode_steps)
        self._steps = episode_steps

    def reset(self, seed: int) -> StepResult:
        rng = np.random.default_rng(seed)
        self._place = float(rng.choice([-1, 1]) * rng.uniform(0.4, 1))
        self._behind = rng.integers(100, size=(SIZE, SIZE, 3), dtype=np.uint8)
        self._steps = 0
        return self._result(0.0)

    def step(self, action: np.ndarray) -> StepResult:
        if self._steps >= self.spec.episode_steps or not np.isfinite(action).all():
            raise SimulationError("toy_block: no episode is running, or a bad action")
        self._steps += 1
        self._place = float(np.clip(self._place + SPEED * np.clip(action[0], -1, 1), -1, 1))
        return self._result(1.0 - abs(self._place))

    def joint_state(self) -> JointState:
        return JointState(np.array([self._place]), np.zeros(1))

    def render(self, camera: str | None = None) -> np.ndarray:
        picture = self._behind.copy()
        picture[self.segmentation() > 0] = 255
        return picture

    def segmentation(self, camera: str | None = None) -> np.ndarray:
        targets = np.zeros((SIZE, SIZE), np.uint8)
        left = round((self._place + 1) / 2 * (SIZE - BLOCK))
        targets[SIZE // 2 - BLOCK // 2 : SIZE // 2 + BLOCK // 2, left : left + BLOCK] = 1
        return targets

    def camera_fovy_rad(self, camera: str | None = None) -> float:
        return 1.0

    def close(self) -> None:
        pass

    def _result(self, reward: float) -> StepResult:
        return StepResult(
            state=np.array([self._place]),
            reward=reward,
            success=None,
            step=self._steps,
            time_s=self._steps * self.spec.control_dt_s,
            done=self._steps >= self.spec.episode_steps,
        )


class DyingTask(BlockTask):
    """Takes its process with it at the third step."""

    def step(self, action: np.ndarray) -> StepResult:
        if self._steps == 2:
            os._exit(7)
        return super().step(action)


def random_return(task: Task, episodes: int) -> float:
    """What uniformly random actions reach on average, on seeds from 0 on."""
    rng, returns = np.random.default_rng(0), []
    for seed in range(episodes):
        result = task.reset(seed)
        total = 0.0
        while not result.done:
            result = task.step(rng.uniform(-1, 1, 1))
            total += result.reward
        returns.append(total)
    return float(np.mean(returns))


def block_scene(episode_steps: int = EPISODE_STEPS) -> Scene:
    return Scene(BlockTask(episode_steps))


def dying_scene() -> Scene:
    return Scene(DyingTask())


def broken_scene() -> Scene:
    raise SimulationError("no such world")


def buggy_scene() -> Scene:
    raise KeyError("a bug")


def smoke_config(runs: Path) -> DrQV2Config:
    """Seconds of training, with every kind of event off the episodes' boundaries, and a replay
    that is overwritten several times."""
    from policies.drqv2.config import DrQV2Config  # not above: workers need no torch

    return DrQV2Config(
        mask="oracle",
        frames=700,
        environments=2,
        camera_size=SIZE,
        image_size=SIZE,
        channels=4,
        features=8,
        hidden=16,
        shift_pad=2,
        batch_size=8,
        learning_rate=1e-3,
        stddev_steps=300,
        seed_frames=80,
        replay_capacity=100,
        evaluate_every=250,
        evaluation_episodes=3,
        score_episodes=5,
        log_every=100,
        checkpoint_every=330,
        threads=1,
        device="cpu",
        runs=runs,
    )
