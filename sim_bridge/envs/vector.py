"""Copies of an environment that act at the same time: Gymnasium's own vectors, and clear errors.

    envs = sim_bridge.make_vector("adroit_door", 4, keys=("rgb", "joints"))
    observations, infos = envs.reset(seed=[0, 1, 2, 3])
    observations, rewards, terminated, truncated, infos = envs.step(actions)  # float [N, A]
    observations, infos = begin(envs, [None, 4, None, 5])  # new episodes where a seed is named

Nothing begins by itself (autoreset is off): an ended copy waits until :func:`begin`. What the
caller does between ``step_async`` and ``step_wait`` runs beside the simulation.
"""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import cv2
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from samg_ros.errors import SamgError, SimulationError
from sim_bridge.envs.env import EnvConfig, Observation, SamgEnv, make
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import TaskSpec, check_seed

_CLOSING_S = 5.0
_OUT_OF_MEMORY = (
    ", most often the kernel's way out of memory: use fewer environments or smaller pictures"
)


def make_vector(task: str, num_envs: int, *, copy: bool = True, **options: Any) -> VectorEnv:
    """Copies of the environment of ``task``; each of several is in a process of its own.

    The same seeds and actions give what a single one gives, bit for bit. The main module of the
    program must be importable (``if __name__ == "__main__":``), since workers are spawned and not
    forked: neither OpenGL nor CUDA survives a fork.

    :param num_envs: 0 is one copy in this process.
    :param copy: False saves time, and the next call overwrites an observation.
    :param options: of :class:`sim_bridge.envs.env.EnvConfig`.
    :raises ConfigError: an unknown task, option or value.
    :raises SimulationError: the simulator cannot start, or a worker dies at it.
    """
    return vectorize([partial(make, task, **options)] * (num_envs or 1), bool(num_envs), copy)


def vectorize(
    makers: Sequence[Callable[[], SamgEnv]], workers: bool = True, copy: bool = True
) -> VectorEnv:
    """As :func:`make_vector`, of what ``makers`` make; they can be pickled.

    :raises SimulationError: there are none; or as :func:`make_vector`.
    """
    if not makers:
        raise SimulationError("a vector of environments needs at least one")
    if workers:
        return Workers(makers, copy)
    return SyncVectorEnv(makers, copy=copy, autoreset_mode=AutoresetMode.DISABLED)


def borrowed(scene: Scene, config: EnvConfig) -> VectorEnv:
    """One copy in this process, of a scene that stays the caller's: closing leaves it open."""
    return vectorize([partial(_Borrowed, scene, config)], workers=False)


class _Borrowed(SamgEnv):
    def close(self) -> None:
        """Nothing to do: the scene is somebody else's."""


def task_spec_of(envs: VectorEnv) -> TaskSpec:
    """What the task of a vector says of itself. :raises SimulationError: a worker died."""
    return envs.get_attr("task_spec")[0]  # type: ignore[attr-defined]


def begin(envs: VectorEnv, seeds: Sequence[int | None]) -> tuple[Observation, dict[str, Any]]:
    """Begin the episodes of ``seeds``; None leaves a copy as it is.

    :return: observations of all copies, and infos of those that have begun.
    :raises SimulationError: bad seed, or a worker died.
    """
    mask = np.array([seed is not None for seed in seeds])
    return envs.reset(seed=list(seeds), options={"reset_mask": mask})  # type: ignore[arg-type]


class Workers(AsyncVectorEnv):
    """An :class:`AsyncVectorEnv` whose troubles are each one :class:`SimulationError`.

    Bad seeds and actions are refused before they are sent, and change nothing. After any other
    trouble the vector is closed, and no process is left behind.
    """

    def __init__(self, makers: Sequence[Callable[[], SamgEnv]], copy: bool) -> None:
        self.processes, self.parent_pipes = [], []
        with self._told():
            super().__init__(
                [_InWorker(make) for make in makers],
                copy=copy,
                context="spawn",
                autoreset_mode=AutoresetMode.DISABLED,
            )

    def reset_async(self, seed: Any = None, options: dict[str, Any] | None = None) -> None:
        """:raises SimulationError: bad seed, or a worker died."""
        seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
        for each in seeds or ():
            if each is not None:
                check_seed(each)
        with self._told():
            super().reset_async(seed, options)

    def reset_wait(self, timeout: float | None = None) -> tuple[Any, dict[str, Any]]:
        """:raises SimulationError: a clip cannot be read any more, or a worker died."""
        with self._told():
            return super().reset_wait(timeout)

    def step_async(self, actions: np.ndarray) -> None:
        """:param actions: float [N, A].

        :raises SimulationError: another shape, NaN or infinity; or a worker died.
        """
        if np.shape(actions) != self.action_space.shape or not np.isfinite(actions).all():
            raise SimulationError(
                f"actions must be finite numbers of shape {self.action_space.shape}, got "
                f"{'NaN or infinity in ' if np.size(actions) else ''}shape {np.shape(actions)}"
            )
        with self._told():
            super().step_async(actions)

    def step_wait(self, timeout: float | None = None) -> Any:
        """:raises SimulationError: a worker died."""
        with self._told():
            return super().step_wait(timeout)

    def call_async(self, name: str, /, *args: object, **kwargs: object) -> None:
        """:raises SimulationError: a worker died."""
        with self._told():
            super().call_async(name, *args, **kwargs)

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """:raises SimulationError: a worker died, or the call failed."""
        with self._told():
            return super().call_wait(timeout)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """End the workers, those that do not end by themselves by force."""
        # Gymnasium's own waits for an answer of every worker, and a dead one gives none.
        started = [process for process in self.processes if process.pid is not None]
        for pipe in self.parent_pipes:
            if pipe is not None:
                with suppress(OSError):
                    pipe.send(("close", None))
        for process in started:
            process.join(0 if terminate else _CLOSING_S)
            if process.is_alive():
                process.terminate()
                process.join()
        for pipe in self.parent_pipes:
            if pipe is not None:
                pipe.close()

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        # Gymnasium's own logs a traceback for each, and does not say whose error it raises.
        failures = [self.error_queue.get() for success in successes if not success]
        if not failures:
            return
        index, kind, error, trace = failures[0]
        self.close(terminate=True)
        said = str(error) if issubclass(kind, SamgError) else f"its worker failed:\n{trace}"
        raise SimulationError(f"environment {index} of {self.num_envs}: {said}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A worker that is gone is named, and takes the others with it."""
        try:
            yield
        except (EOFError, OSError, MemoryError) as error:
            raise SimulationError(self._obituary(error)) from error
        except BaseException:
            if not hasattr(self, "_state"):  # it was never whole
                self.close_extras(terminate=True)
            raise

    def _obituary(self, error: BaseException) -> str:
        """Close everything. :return: which worker died, or why none could be started."""
        started = {p.sentinel: p for p in self.processes if p.pid is not None}
        for sentinel in multiprocessing.connection.wait(list(started), _CLOSING_S):
            started[sentinel].join(_CLOSING_S)  # type: ignore[index]
        codes = [process.exitcode for process in self.processes if process.pid is not None]
        self.close(terminate=True)
        for index, code in enumerate(codes):
            if code is not None:
                hint = _OUT_OF_MEMORY if code == -signal.SIGKILL else ""
                return (
                    f"environment {index} of {len(self.env_fns)}: its worker process died "
                    f"(exit code {code}){hint}"
                )
        return f"{len(self.env_fns)} environments cannot be started: {error or 'no memory'}"


class _InWorker:
    """Makes an environment. In a worker it keeps to one core, and leaves Ctrl-C to the main
    process: that reaches every process of a terminal."""

    def __init__(self, make: Callable[[], SamgEnv]) -> None:
        self._make, self._main = make, os.getpid()

    def __call__(self) -> SamgEnv:
        if os.getpid() != self._main:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            cv2.setNumThreads(1)
        return self._make()
