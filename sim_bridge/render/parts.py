"""What is table, ground and object in each task's model: what perturbations repaint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """Geoms of a model: those named, and all of the bodies named."""

    bodies: tuple[str, ...] = ()
    geoms: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.bodies or self.geoms)

    def geom_ids(self, model: Any) -> np.ndarray:
        """:param model: ``mujoco.MjModel``. :return: sorted int64 ids."""
        named = [model.geom(name).id for name in self.geoms]
        owners = [model.body(name).id for name in self.bodies]
        return np.union1d(named, np.flatnonzero(np.isin(model.geom_bodyid, owners))).astype(int)


NOTHING = Part()


@dataclass(frozen=True)
class TaskParts:
    """A task's surfaces, and what else of it a perturbation must know.

    :param ground: the lowest surface. Without a ``table``, it is what the task stands on.
    :param ground_in_view: the default camera sees some of it.
    :param objects: the manipulated object in two halves, which get different colours; one half,
        or none where the task has only a robot.
    :param suite_materials: the model has dm_control's common materials and sky.
    :param benchmark_views: eye and point looked at, by intensity, where the task is one of the
        benchmark's; elsewhere the camera moves in proportion.
    """

    ground: Part = NOTHING
    ground_in_view: bool = True
    table: Part = NOTHING
    objects: tuple[Part, ...] = ()
    suite_materials: bool = False
    benchmark_views: dict[str, tuple[Vector, Vector]] = field(default_factory=dict)

    def beyond_floor(self) -> Part:
        """What lies behind and below the surface that the task stands on, the sky apart."""
        return self.ground if self.table else NOTHING


def parts_of(task: str) -> TaskParts:
    """The parts of the task called ``task``; a task not listed has none."""
    return _PARTS.get(task, TaskParts())


def _suite(ground: str, *objects: Part) -> TaskParts:
    return TaskParts(ground=Part(geoms=(ground,)), objects=objects, suite_materials=True)


def _adroit(*objects: Part) -> TaskParts:
    return TaskParts(
        ground=Part(geoms=("ground",)),
        ground_in_view=False,
        table=Part(bodies=("table",)),
        objects=objects,
    )


# The views are those of SegDAC's benchmark (arXiv 2508.09325) for LiftPegUpright-v1.
_ARM = TaskParts(
    ground=Part(geoms=("ground",)),
    table=Part(geoms=("table",)),
    objects=(Part(geoms=("peg_red",)), Part(geoms=("peg_blue",))),
    benchmark_views={
        "easy": ((0.42, 0.0, 0.6), (0.0, 0.0, 0.0)),
        "medium": ((0.4, -0.3, 0.3), (-0.3, 0.3, -0.1)),
        "hard": ((0.2, -0.9, 0.2), (-0.2, 0.3, -0.2)),
    },
)

_PARTS = {
    "adroit_door": _adroit(Part(bodies=("frame", "door")), Part(bodies=("latch",))),
    "adroit_hammer": _adroit(Part(geoms=("handle",)), Part(geoms=("neck", "head"))),
    "adroit_pen": _adroit(Part(geoms=("pen",)), Part(geoms=("top", "bot", "cli"))),
    "adroit_relocate": _adroit(Part(geoms=("sphere",))),
    "ball_in_cup_catch": _suite("ground", Part(bodies=("ball",))),
    "cartpole_balance": _suite("floor"),
    "cartpole_swingup": _suite("floor"),
    "cheetah_run": _suite("ground"),
    "finger_spin": _suite(
        "ground", Part(geoms=("cap1", "cap2")), Part(geoms=("spinner_decoration",))
    ),
    "hopper_hop": _suite("floor"),
    "hopper_stand": _suite("floor"),
    "quadruped_walk": _suite("floor"),
    "walker_stand": _suite("floor"),
    "walker_walk": _suite("floor"),
    "arm_lift_peg_upright": _ARM,
    "arm_lift_peg_upright_ee": _ARM,
}
