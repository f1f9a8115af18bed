"""What a student is shown in training: several noisy maskings of a frame, or a picture without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from policies.mask_noise import MaskNoise, MaskNoiseConfig
from policies.mask_source import make_mask_source, masked
from sim_bridge.background_noise import NoiseBackground
from sim_bridge.backgrounds import Background, composite
from sim_bridge.scene import SceneFrame

View = Callable[[SceneFrame], np.ndarray]
"""One way to see an episode: a frame before any background to uint8 [H, W, 3]."""

Views = Callable[[int], list[View]]
"""The ways in which the episode of a seed is seen; the student drives on the first."""


class Masking:
    """One way a segmenter might have seen an episode: its own faults and its own background."""

    def __init__(
        self, background: Background, seed: Sequence[int], faults: MaskNoiseConfig
    ) -> None:
        rng = np.random.default_rng(seed)
        self._background = background
        self._background.reset(int(rng.integers(2**31)))
        self._noise = MaskNoise(rng, faults)

    def __call__(self, frame: SceneFrame) -> np.ndarray:
        """:param frame: before any background. :return: uint8 [H, W, 3], masked."""
        mask = self._noise(frame.targets)
        behind = self._background.frame(frame.step, *mask.shape)
        return masked(composite(frame.rgb, frame.targets > 0, behind), mask)


def noisy_maskings(count: int, faults: float = 1.0) -> Views:
    """``count`` independently spoilt maskings, before moving textures: photographs are what a
    student is measured on.

    :param faults: how strong the faults are, relative to :class:`MaskNoiseConfig`'s.
    """
    backgrounds = [NoiseBackground() for _ in range(count)]
    noise = MaskNoiseConfig().scaled(faults)
    return lambda seed: [Masking(b, [seed, 1, i], noise) for i, b in enumerate(backgrounds)]


def training_views(mask: str, maskings: int, faults: float) -> Views:
    """What ``samg train student --mask`` names.

    Without masks there is one way to see a frame, the task as it is: the twin that a masked
    student is compared with learns like everyone who has no masker.

    :param mask: ``targets``, or the name of a mask source that has no masks.
    :param maskings: maskings of every frame, where it is masked; ``faults``: of what strength.
    :raises ConfigError: unknown mask source.
    """
    if mask == "targets":
        return noisy_maskings(maskings, faults)

    def views(seed: int) -> list[View]:
        source = make_mask_source(mask)
        source.reset(seed)
        return [source]

    return views
