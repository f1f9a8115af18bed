"""Episodes of many policies and masks in the same environments, which advance together."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from policies.base import Observation, Policy
from policies.episode import Episode, EpisodeRecord
from policies.eval.config import SAMG
from samg_ros.images import masked
from samg_ros.masking.config import LostBehaviour
from samg_ros.masking.result import LostFrames, MaskResult, MaskSource
from samg_ros.masking.scores import iou
from sim_bridge.scenes.scene import SceneFrame
from sim_bridge.scenes.vector import CopyState, VectorScenes
from sim_bridge.scenes.views import FrameAndTruth, eval_scene, make_mask_source, parted
from sim_bridge.task import TaskSpec


class Sight:
    """One episode's pictures, and how good the masks of SAM-G were if it is they.

    :param mask: ``samg``, or a name of ``sim_bridge.scenes.views``.
    :param on_lost: what SAM-G's lost frames become.
    """

    def __init__(self, mask: str, seed: int, on_lost: LostBehaviour) -> None:
        self.needs_masker = mask == SAMG
        self._lost = LostFrames(on_lost)
        self._ious: list[float] = []
        self._found: list[bool] = []
        if not self.needs_masker:
            self._source = make_mask_source(mask)
            self._source.reset(seed)

    def picture(self, frame: SceneFrame, found: MaskResult | None) -> np.ndarray:
        """:param found: SAM-G's mask where it is needed. :return: uint8 [H, W, 3]."""
        if found is None:
            return self._source(frame)
        mask = self._lost(found.mask, found.lost)
        self._ious.append(iou(mask, frame.targets > 0))
        self._found.append(found.status == "found")
        return masked(frame.rgb, mask)

    def scores(self) -> dict[str, Any]:
        """``mean_iou``, ``min_iou`` and ``found`` of an ``EpisodeRecord``."""
        if not self._ious:
            return {"mean_iou": None, "min_iou": None, "found": None}
        found = fmean(map(float, self._found))
        return {"mean_iou": fmean(self._ious), "min_iou": min(self._ious), "found": found}


def pictures(
    sights: Sequence[Sight], frames: Sequence[SceneFrame], task: str, masker: MaskSource | None
) -> list[np.ndarray]:
    """The pictures of one control step of several episodes; SAM-G gets its frames as one batch.

    :param masker: of frames of the camera named as the task; None where no sight needs it.
    :return: uint8 [H, W, 3] each.
    """
    asked = [index for index, sight in enumerate(sights) if sight.needs_masker]
    found: dict[int, MaskResult] = {}
    if asked and masker is not None:
        masks = masker([(task, frames[index].rgb) for index in asked])
        found = dict(zip(asked, masks, strict=True))
    pairs = zip(sights, frames, strict=True)
    return [sight.picture(frame, found.get(i)) for i, (sight, frame) in enumerate(pairs)]


@dataclass(frozen=True)
class World:
    """What environments share. ``perturb``: the text; ``size``: side of the picture, px."""

    task: str
    perturb: str
    size: int


def make_scenes(world: World, envs: int, episodes: int) -> VectorScenes:
    """As many environments as asked for (0: one for each core), but no more than episodes.

    :raises SimulationError: they cannot be made.
    """
    count = min(envs or len(os.sched_getaffinity(0)), episodes)
    make = partial(eval_scene, world.task, world.perturb, world.size)
    return VectorScenes([make] * count, FrameAndTruth, height=2 * world.size, width=world.size)


class Runner:
    """Runs episodes in ``scenes``; as soon as one ends, the next begins in its place.

    The same seed gives the same episode through the nodes, to the bit as long as its masks are
    the same: there and here an action becomes a command once.

    :param policies: by what results call them; copied, since a policy remembers frames.
    :param masker: see :func:`policies.eval.runner.pictures`.
    """

    def __init__(
        self,
        scenes: VectorScenes,
        policies: Mapping[str, Policy],
        masker: MaskSource | None,
        on_lost: LostBehaviour,
    ) -> None:
        self._scenes, self._masker, self._on_lost = scenes, masker, on_lost
        self._policies = [copy.deepcopy(dict(policies)) for _ in range(len(scenes))]

    def run(self, episodes: Iterable[Episode], finished: Callable[[EpisodeRecord], None]) -> None:
        """:param finished: called with each episode as soon as it ends.

        :raises SamgError: a worker died, or something cannot be carried out.
        """
        waiting, count = iter(episodes), len(self._scenes)
        running: list[_Running | None] = [None] * count
        actions: list[np.ndarray | None] = [None] * count
        while True:
            seeds: list[int | None] = [None] * count
            for place, slot in enumerate(running):
                if slot is None and (episode := next(waiting, None)) is not None:
                    running[place] = self._begin(place, episode)
                    seeds[place] = episode.seed
            if not any(running):
                return
            self._scenes.start(actions=actions, seeds=seeds)
            states = self._scenes.finish()
            for place, (slot, state) in enumerate(zip(running, states, strict=True)):
                if slot is not None and state is not None:
                    slot.arrive(state, began=seeds[place] is not None)
                    if slot.over:
                        finished(slot.record())
                        running[place] = None
            actions = self._act(running)

    def _begin(self, place: int, episode: Episode) -> _Running:
        policy = self._policies[place][episode.cell.policy]
        policy.reset()
        sight = Sight(episode.cell.mask, episode.seed, self._on_lost)
        return _Running(episode, policy, sight, self._scenes.spec)

    def _act(self, running: list[_Running | None]) -> list[np.ndarray | None]:
        going = [(place, slot) for place, slot in enumerate(running) if slot is not None]
        frames = [slot.frame(self._scenes.pictures[place]) for place, slot in going]
        sights = [slot.sight for _, slot in going]
        seen = pictures(sights, frames, self._scenes.spec.name, self._masker)
        actions: list[np.ndarray | None] = [None] * len(running)
        for (place, slot), picture in zip(going, seen, strict=True):
            actions[place] = slot.act(picture)
        return actions


class _Running:
    """An episode on its way."""

    def __init__(self, episode: Episode, policy: Policy, sight: Sight, spec: TaskSpec) -> None:
        self.sight = sight
        self._episode, self._policy = episode, policy
        self._joints = [spec.joint_names.index(name) for name in policy.spec.joint_names]
        self._return = 0.0

    def arrive(self, state: CopyState, *, began: bool) -> None:
        """Where it is now. :param began: it was reset, not stepped."""
        self._state = state
        self._return += 0.0 if began else state.result.reward

    @property
    def over(self) -> bool:
        """Done, or successful for the first time."""
        return self._state.result.done or bool(self._state.result.success)

    def frame(self, picture: np.ndarray) -> SceneFrame:
        """:param picture: what a worker's view made."""
        rgb, targets = parted(picture)
        result = self._state.result
        stamp_ns = round(result.time_s * 1e9)
        # The field of view is the camera's alone; nothing here looks at it.
        return SceneFrame(rgb, targets, stamp_ns, result.step, fovy_rad=float("nan"))

    def act(self, picture: np.ndarray) -> np.ndarray:
        """:return: float32 [A] in [-1, 1]."""
        joints = self._state.joints.position[self._joints].astype(np.float32)
        return self._policy.act(Observation(picture, joints))

    def record(self) -> EpisodeRecord:
        """What is kept of it."""
        result = self._state.result
        return EpisodeRecord(
            self._episode.seed,
            success=None if result.success is None else bool(result.success),
            steps=result.step,
            episode_return=float(self._return),
            learned_from=self._policy.spec.mask,
            cell=self._episode.cell,
            **self.sight.scores(),
        )
