"""What a worker process of :class:`VectorScenes` does: one scene, by orders."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from samg_ros.errors import SamgError, SimulationError
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import JointState, StepResult

if TYPE_CHECKING:
    from sim_bridge.scenes.views import View


@dataclass(frozen=True)
class Reset:
    """Begin the episode of ``seed``."""

    seed: int


@dataclass(frozen=True)
class Step:
    """One control step. ``action``: float [A]."""

    action: np.ndarray


@dataclass(frozen=True)
class Replay:
    """Begin the episode of ``seed`` and take ``actions``, float [T, A], one after the other."""

    seed: int
    actions: np.ndarray


@dataclass(frozen=True)
class Failure:
    """An order that could not be carried out; ``message`` says why."""

    message: str


def serve(
    pipe: Connection,
    make_scene: Callable[[], Scene],
    make_view: Callable[[], View],
    memory: Any,
    shape: tuple[int, ...],
    index: int,
) -> None:
    """Carry out orders until None comes or the other end of ``pipe`` is gone.

    The first answer is the task's specification; every further one is a step result with joint
    states, after the picture was put into row ``index`` of ``memory``, uint8 of ``shape``.
    """
    # Ctrl-C reaches every process of a terminal; the main one decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    picture = np.frombuffer(memory, np.uint8).reshape(shape)[index]
    scene: Scene | None = None
    try:
        scene = make_scene()
        carry_out = _Copy(scene, make_view(), picture)
        pipe.send(scene.task.spec)
        while (order := pipe.recv()) is not None:
            try:
                pipe.send(carry_out(order))
            except SamgError as error:
                pipe.send(Failure(str(error)))
    except (EOFError, ConnectionError):
        pass  # the main process is gone
    except SamgError as error:
        pipe.send(Failure(str(error)))
    except Exception:  # whatever it is, it is told where it can be read
        pipe.send(Failure(f"its worker failed:\n{traceback.format_exc()}"))
    finally:
        if scene is not None:
            scene.close()


class _Copy:
    """One scene, its view, and where its picture goes."""

    def __init__(self, scene: Scene, view: View, picture: np.ndarray) -> None:
        self._scene, self._view, self._picture = scene, view, picture

    def __call__(self, order: Reset | Step | Replay) -> tuple[StepResult, JointState]:
        if isinstance(order, Step):
            result = self._scene.act(order.action)
        else:
            result = self._begin(order.seed)
        if isinstance(order, Replay):
            for action in order.actions:
                self._look()
                result = self._scene.act(action)
        self._picture[...] = self._look()
        return result, self._scene.task.joint_state()

    def _begin(self, seed: int) -> StepResult:
        self._view.reset(seed)
        return self._scene.reset(seed)

    def _look(self) -> np.ndarray:
        picture = self._view(self._scene.observe())
        if picture.shape != self._picture.shape or picture.dtype != np.uint8:
            raise SimulationError(
                f"the view gave {picture.dtype} {picture.shape} where pictures of "
                f"uint8 {self._picture.shape} were asked for"
            )
        return picture
