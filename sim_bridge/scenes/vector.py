"""Seeded copies of a scene in worker processes, for training and evaluation without ROS."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from samg_ros.errors import SimulationError
from sim_bridge.scenes.scene import Scene
from sim_bridge.scenes.views import View
from sim_bridge.scenes.worker import Failure, Replay, Reset, Step, serve
from sim_bridge.task import JointState, StepResult, TaskSpec

_CLOSING_S = 5.0
_OUT_OF_MEMORY = (
    ", most often the kernel's way out of memory: use fewer environments or smaller pictures"
)


@dataclass(frozen=True)
class CopyState:
    """Where one copy is after a command; its picture is in :attr:`VectorScenes.pictures`."""

    result: StepResult
    joints: JointState


class VectorScenes:
    """N scenes, each in a process of its own, that act at the same time.

    The same seeds and actions give what a scene in this process gives, bit for bit. The main
    module of the program must be importable (``if __name__ == "__main__":``), since workers are
    spawned and not forked: neither OpenGL nor CUDA survives a fork.

    :param make_scenes: one picklable callable a copy, called in its worker.
    :param make_view: a picklable callable that makes a worker's :class:`View`.
    :param height: rows of a view's pictures; ``width``: columns.
    :raises SimulationError: a worker cannot make its scene, or dies at it.
    """

    def __init__(
        self,
        make_scenes: Sequence[Callable[[], Scene]],
        make_view: Callable[[], View],
        *,
        height: int,
        width: int,
    ) -> None:
        if not make_scenes:
            raise SimulationError("a vector of scenes needs at least one scene")
        context = multiprocessing.get_context("spawn")
        shape = (len(make_scenes), height, width, 3)
        # Anonymous shared memory: whatever dies, nothing is left behind.
        memory = context.RawArray("B", int(np.prod(shape)))
        self.pictures = np.frombuffer(memory, np.uint8).reshape(shape)
        """uint8 [N, H, W, 3], read-only: the copies' last pictures; the next call overwrites."""
        self.pictures.flags.writeable = False
        self._pipes: list[Connection] = []
        self._workers: list[Any] = []
        self._asked: list[int] = []
        try:
            for index, make_scene in enumerate(make_scenes):
                ours, theirs = context.Pipe()
                args = (theirs, make_scene, make_view, memory, shape, index)
                worker = context.Process(target=serve, args=args, daemon=True)
                worker.start()
                theirs.close()  # so that the worker's death ends the pipe
                self._pipes.append(ours)
                self._workers.append(worker)
            self._asked = list(range(len(make_scenes)))
            self.spec: TaskSpec = self._answers()[0]
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._pipes)

    def __enter__(self) -> VectorScenes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self, seeds: Sequence[int | None]) -> list[CopyState | None]:
        """Begin the episodes of ``seeds``. None leaves a copy as it is.

        :raises SimulationError: bad seed, or a worker died.
        """
        return self._run([None if seed is None else Reset(seed) for seed in seeds])

    def step(self, actions: Sequence[np.ndarray | None]) -> list[CopyState | None]:
        """One control step each. :param actions: float [A] a copy; None leaves it as it is.

        :raises SimulationError: see ``Task.step``, or a worker died.
        """
        self.start(actions=actions, seeds=[None] * len(self))
        return self.finish()

    def replay(self, episodes: Sequence[tuple[int, np.ndarray] | None]) -> list[CopyState | None]:
        """Go back into running episodes: reset to a seed, then take all its actions so far.

        Simulation is deterministic, so this restores a copy exactly, and its view with it.

        :param episodes: (seed, actions float [T, A]) a copy; None leaves it as it is.
        :raises SimulationError: as :meth:`reset` and :meth:`step`.
        """
        return self._run([None if episode is None else Replay(*episode) for episode in episodes])

    def start(self, *, actions: Sequence[np.ndarray | None], seeds: Sequence[int | None]) -> None:
        """Ask for steps, and for resets where there is a seed; :meth:`finish` must follow.

        What the caller does in between runs beside the simulation.
        """
        orders: list[Reset | Step | None] = []
        for action, seed in zip(actions, seeds, strict=True):
            if seed is not None:
                orders.append(Reset(seed))
            else:
                orders.append(None if action is None else Step(action))
        self._send(orders)

    def finish(self) -> list[CopyState | None]:
        """The states after what :meth:`start` asked for; None where it asked for nothing."""
        states: list[CopyState | None] = [None] * len(self)
        asked = self._asked
        for index, answer in zip(asked, self._answers(), strict=True):
            states[index] = CopyState(*answer)
        return states

    def close(self) -> None:
        """End the workers; closing twice does nothing."""
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
        for worker, pipe in zip(self._workers, self._pipes, strict=True):
            worker.join(_CLOSING_S)
            if worker.is_alive():
                worker.terminate()
                worker.join()
            pipe.close()
        self._pipes, self._workers, self._asked = [], [], []

    def _run(self, orders: Sequence[Reset | Replay | None]) -> list[CopyState | None]:
        self._send(orders)
        return self.finish()

    def _send(self, orders: Sequence[Reset | Step | Replay | None]) -> None:
        if len(orders) != len(self):
            raise SimulationError(f"{len(self)} scenes were given {len(orders)} commands")
        if self._asked:
            raise SimulationError("the scenes are still at work: finish() comes before the next")
        for index, (pipe, order) in enumerate(zip(self._pipes, orders, strict=True)):
            if order is not None:
                self._asked.append(index)
                with suppress(OSError):  # a dead worker; the missing answer tells
                    pipe.send(order)

    def _answers(self) -> list[Any]:
        """What every worker that was asked says. All are heard before any error is raised."""
        asked, self._asked = self._asked, []
        answers = [self._answer(index) for index in asked]
        for index, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Failure):
                raise SimulationError(f"scene {index} of {len(self)}: {answer.message}")
        return answers

    def _answer(self, index: int) -> Any:
        try:
            return self._pipes[index].recv()
        except (EOFError, OSError):
            worker = self._workers[index]
            worker.join(_CLOSING_S)
            hint = _OUT_OF_MEMORY if worker.exitcode == -signal.SIGKILL else ""
            return Failure(f"its worker process died (exit code {worker.exitcode}){hint}")
