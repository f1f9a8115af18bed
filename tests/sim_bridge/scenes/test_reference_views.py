"""A reference out of the simulator: which moments of which episodes it shows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from samg_ros.errors import ConfigError
from samg_ros.masking.reference import Reference
from sim_bridge.cli.reference import SimOptions
from sim_bridge.scenes.reference_views import MIN_PIXELS, make_reference
from sim_bridge.task import StepResult, make_task

SEED, SIDE = 100_000, 96


def reference_of(name: str, views: int, episodes: int) -> Reference:
    task = make_task(name, height=SIDE, width=SIDE)
    still = np.zeros(task.spec.action_size, np.float32)

    def act(_: StepResult) -> np.ndarray:
        return still

    try:
        return make_reference(task, act, seed=SEED, views=views, parts=3, episodes=episodes)
    finally:
        task.close()


@pytest.fixture(scope="module")
def pens() -> Reference:
    return reference_of("adroit_pen", views=3, episodes=3)


def overlaps(reference: Reference, name: str) -> list[float]:
    """IoU of a target's masks in each two neighbouring views."""
    masks = [next(t.mask for t in v.targets if t.name == name) for v in reference.views]
    return [(one & other).sum() / (one | other).sum() for one, other in pairwise(masks)]


def test_each_view_is_later_in_its_episode(pens):
    first, middle, last = pens.about["steps"]
    assert first == 0 and last > 1
    assert abs(middle - last / 2) <= 0.5
    assert {k: pens.about[k] for k in ("task", "seed", "episodes")} == {
        "task": "adroit_pen",
        "seed": SEED,
        "episodes": 3,
    }


def test_of_one_episode_the_goal_stays_and_of_several_it_differs(pens):
    """The pen's goal is turned at the reset."""
    assert overlaps(reference_of("adroit_pen", views=3, episodes=1), "goal") == [1, 1]
    assert max(overlaps(pens, "goal")) < 0.7


def test_episodes_take_turns(pens):
    """Of three views, the first and the last show one of two episodes, the other the other."""
    turns = reference_of("adroit_pen", views=3, episodes=2)
    assert [view.image.tobytes() for view in turns.views[:2]] == [
        view.image.tobytes() for view in pens.views[:2]
    ]
    first, _, last = (next(t.mask for t in v.targets if t.name == "goal") for v in turns.views)
    assert np.array_equal(first, last)


def test_parts_lie_on_their_targets(pens):
    assert pens.names == ("hand", "pen", "goal")
    for target in (target for view in pens.views for target in view.targets):
        assert target.mask.sum() >= MIN_PIXELS and len(target.points) == 3
        assert all(target.mask[int(y), int(x)] for x, y in target.points)


def test_one_view_is_the_reset(pens):
    (view,) = reference_of("adroit_pen", views=1, episodes=4).views
    assert np.array_equal(view.image, pens.views[0].image)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"views": 0}, "views is 0"),
        ({"episodes": 0}, "episodes is 0"),
        ({"size": 8}, "size is 8"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_pictured_is_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        SimOptions(**options)
