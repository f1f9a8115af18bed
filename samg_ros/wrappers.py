"""Environments whose pictures come masked: SAM-G as its authors use it, for any of gymnasium's.

env = gymnasium.make("dm_control/walker-walk-v0", render_mode="rgb_array")
env = gymnasium.wrappers.AddRenderObservation(env)
env = MaskedObservation(env, samg_ros.load_masker("walker_walk"))
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from samg_ros.errors import ConfigError
from samg_ros.images import masked
from samg_ros.masking.config import LOST_BEHAVIOURS, LostBehaviour
from samg_ros.masking.result import LostFrames, MaskResult


class PictureMasker(Protocol):
    """A :class:`samg_ros.Masker` of one camera, or anything that is called as one."""

    def __call__(self, rgb: np.ndarray) -> MaskResult:
        """:param rgb: uint8 [H, W, 3], or of a vector [N, H, W, 3]."""
        ...


class MaskedObservation(gymnasium.Wrapper, RecordConstructorArgs):
    """An environment whose pictures show the masker's targets, and nothing else.

    ``info`` gets "mask", bool [H, W], what is let through, and "mask_status": found,
    low_confidence or lost.

    :param env: its observation is an RGB picture, uint8 [H, W, 3], or a Dict with one. Other
        environments first go through gymnasium's ``AddRenderObservation``.
    :param key: of the picture in a Dict; may be left out where there is only one picture.
    :param on_lost: what a picture becomes in which every target is lost: ``blank`` all black,
        ``hold`` seen through the episode's last good mask, ``passthrough`` left as it is.
    :raises ConfigError: no such picture, or several.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        masker: PictureMasker,
        key: str | None = None,
        on_lost: LostBehaviour = "blank",
    ) -> None:
        RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, masker=masker, key=key, on_lost=on_lost
        )
        super().__init__(env)
        self._key = _picture_key(env.observation_space, key)
        self._masker, self._on_lost = masker, _checked(on_lost)
        self._lost = LostFrames(on_lost)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._lost = LostFrames(self._on_lost)
        return self._masked(observation, info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        observation, info = self._masked(observation, info)
        return observation, reward, terminated, truncated, info

    def _masked(self, observation: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        rgb = _picture(observation, self._key)
        found = self._masker(rgb)
        mask = self._lost(found.mask, found.lost)
        info = {**info, "mask": mask, "mask_status": found.status}
        return _with_picture(observation, self._key, masked(rgb, mask)), info


class MaskedVectorObservation(VectorWrapper):
    """:class:`MaskedObservation` of a vector, whose N pictures are masked as one batch.

    ``infos`` get "mask", bool [N, H, W], and "mask_status", strings [N].

    :raises ConfigError: also where the vector resets within a step, which leaves an episode's last
        pictures in ``infos``, not masked.
    """

    def __init__(
        self,
        env: VectorEnv,
        masker: PictureMasker,
        key: str | None = None,
        on_lost: LostBehaviour = "blank",
    ) -> None:
        super().__init__(env)
        self._key = _picture_key(env.single_observation_space, key)
        self._masker, self._on_lost = masker, _checked(on_lost)
        if env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
            raise ConfigError(
                "a vector that resets within a step keeps raw pictures in its infos; make it with "
                "autoreset_mode NEXT_STEP or DISABLED"
            )
        self._lost = [LostFrames(on_lost) for _ in range(self.num_envs)]
        self._ended = np.zeros(self.num_envs, bool)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        begun = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        observations, infos = self.env.reset(seed=seed, options=options)  # may empty the options
        self._begin(begun)
        return self._masked(observations, infos)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        if self.metadata.get("autoreset_mode") != AutoresetMode.DISABLED:
            self._begin(self._ended)  # these were reset now
        self._ended = terminated | truncated
        observations, infos = self._masked(observations, infos)
        return observations, rewards, terminated, truncated, infos

    def _begin(self, places: np.ndarray) -> None:
        """Forget what the episodes before held. :param places: bool [N]."""
        for place in np.flatnonzero(places):
            self._lost[place] = LostFrames(self._on_lost)
        self._ended = self._ended & ~places

    def _masked(self, observations: Any, infos: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        rgb = _picture(observations, self._key)
        found = self._masker(rgb)
        each = zip(self._lost, found.mask, found.lost, strict=True)
        mask = np.stack([apply(mask, bool(lost)) for apply, mask, lost in each])
        told = {"mask": mask, "mask_status": found.status}
        everywhere = {f"_{name}": np.ones(self.num_envs, bool) for name in told}
        return _with_picture(observations, self._key, masked(rgb, mask)), {
            **infos,
            **told,
            **everywhere,
        }


def _picture_key(space: gymnasium.Space, key: str | None) -> str | None:
    """Where in an observation the picture is; None where it is all of it.

    :raises ConfigError: nowhere, or it is not clear where.
    """
    if isinstance(space, spaces.Box) and _is_rgb(space) and key is None:
        return None
    if not isinstance(space, spaces.Dict):
        raise ConfigError(
            f"the observation is {space}, not {'a Dict' if key else 'an RGB picture'}; give RGB, "
            "uint8 [H, W, 3], for instance by gymnasium's AddRenderObservation"
        )
    pictures = [name for name, one in space.items() if _is_rgb(one)]
    named = [key] if key is not None else pictures
    if len(named) == 1 and named[0] in pictures:
        return named[0]
    wanted = "one of" if key is None else f"{key!r} of"
    raise ConfigError(
        f"it is not clear what to mask: {wanted} {', '.join(map(repr, space))} should be an RGB "
        f"picture, uint8 [H, W, 3]; {', '.join(map(repr, pictures)) or 'none'} is. Name it as key"
    )


def _is_rgb(space: gymnasium.Space) -> bool:
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
        and space.shape[2] == 3
    )


def _checked(on_lost: LostBehaviour) -> LostBehaviour:
    if on_lost not in LOST_BEHAVIOURS:
        raise ConfigError(f"on_lost is {on_lost!r}; choose one of: {', '.join(LOST_BEHAVIOURS)}")
    return on_lost


def _picture(observation: Any, key: str | None) -> np.ndarray:
    return observation if key is None else observation[key]


def _with_picture(observation: Any, key: str | None, picture: np.ndarray) -> Any:
    return picture if key is None else {**observation, key: picture}
