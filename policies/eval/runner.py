"""Episodes of many policies and masks in the same environments, which advance together."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from gymnasium.vector import VectorEnv

from policies.base import Observation, Policy
from policies.episode import Episode, EpisodeRecord
from policies.eval.config import SAMG
from policies.pictures import SamgView
from policies.rollout import in_places, rollout
from samg_ros.masking.config import LostBehaviour
from samg_ros.masking.result import MaskSource
from sim_bridge.envs.env import Observation as Observations
from sim_bridge.envs.vector import make_vector, task_spec_of
from sim_bridge.scenes.views import EpisodeView
from sim_bridge.task import TaskSpec


@dataclass(frozen=True)
class World:
    """What environments share. ``perturb``: the text; ``size``: side of the picture, px;
    ``joint_names``: all that ``joint_states`` would carry."""

    task: str
    perturb: str
    size: int
    joint_names: tuple[str, ...]


def make_envs(world: World, envs: int, episodes: int) -> VectorEnv:
    """As many environments as asked for (0: one for each core), but no more than episodes.

    :raises SimulationError: they cannot be made.
    """
    return make_vector(
        world.task,
        min(envs or len(os.sched_getaffinity(0)), episodes),
        perturb=world.perturb,
        size=world.size,
        camera_size=world.size,
        keys=("rgb", "mask", "joints"),
        joint_names=world.joint_names,
    )


def run(
    envs: VectorEnv,
    episodes: Iterable[Episode],
    policies: Mapping[str, Policy],
    masker: MaskSource | None,
    on_lost: LostBehaviour,
    finished: Callable[[EpisodeRecord], None],
) -> None:
    """Run episodes; the same seed gives the same episode through the nodes, to the bit as long as
    its masks are the same.

    :param envs: with raw pictures, their truth, and all joints; see :func:`make_envs`.
    :param policies: by what results call them; copied, since a policy remembers frames.
    :param masker: of frames of the camera named as the task; None where no episode needs it.
    :param finished: called with each episode as soon as it ends.
    :raises SamgError: a worker died, or something cannot be carried out.
    """
    driver = _Driver(policies, task_spec_of(envs), masker, on_lost, envs.num_envs)
    for place, record in rollout(driver, envs, episodes):
        finished(driver.scored(place, record))


class _Driver:
    """In each place the policy and the view of the episode that runs there."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        task: TaskSpec,
        masker: MaskSource | None,
        on_lost: LostBehaviour,
        places: int,
    ) -> None:
        self._copies = [copy.deepcopy(dict(policies)) for _ in range(places)]
        self._task, self._masker, self._on_lost = task, masker, on_lost
        self._policies: dict[int, Policy] = {}
        self._views: dict[int, SamgView | EpisodeView] = {}

    def begin(self, place: int, episode: Episode) -> None:
        mask = episode.cell.mask
        self._policies[place] = self._copies[place][episode.cell.policy]
        self._policies[place].reset()
        samg = mask == SAMG
        self._views[place] = SamgView(self._on_lost) if samg else EpisodeView(mask, episode.seed)

    def act(self, observations: Observations, places: Sequence[int]) -> np.ndarray:
        pictures = self._pictures(observations, places)
        actions = {}
        for place in places:
            policy = self._policies[place]
            own = [self._task.joint_names.index(name) for name in policy.spec.joint_names]
            actions[place] = policy.act(
                Observation(pictures[place], observations["joints"][place][own])
            )
        return in_places(len(observations["rgb"]), actions)

    def scored(self, place: int, record: EpisodeRecord) -> EpisodeRecord:
        """The record of the episode that has just ended there, with what only its masks show."""
        view, learned_from = self._views[place], self._policies[place].spec.mask
        scores = view.scores() if isinstance(view, SamgView) else {}
        return replace(record, learned_from=learned_from, **scores)

    def _pictures(
        self, observations: Observations, places: Sequence[int]
    ) -> dict[int, np.ndarray]:
        """SAM-G gets its frames as one batch. :return: uint8 [H, W, 3] each."""
        rgb, truth, shown = observations["rgb"], observations["mask"], {}
        asked = []
        for place in places:
            view = self._views[place]
            if isinstance(view, SamgView):
                asked.append((place, view))
            else:
                shown[place] = view(rgb[place], truth[place])
        if asked and self._masker is not None:
            results = self._masker([(self._task.name, rgb[place]) for place, _ in asked])
            for (place, view), found in zip(asked, results, strict=True):
                shown[place] = view(rgb[place], truth[place], found)
        return shown
