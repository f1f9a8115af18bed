"""What surrounds a DrQ-v2 training: evaluations, curves, checkpoints, and the final score."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from gymnasium.vector import VectorEnv

from policies.base import policy_spec
from policies.drqv2.config import DrQV2Config
from policies.drqv2.policy import DrQV2Policy
from policies.drqv2.training import DrQV2Training
from policies.pictures import BatchPictures
from policies.rollout import EpisodeResults, StackDriver, evaluate
from policies.training import EVALUATION_SEEDS, VALIDATION_SEEDS
from policies.training.curves import Curves, read_curves
from policies.training.run import Kind, TrainingRun, scores_of
from samg_ros.errors import ConfigError
from samg_ros.machine import torch_threads
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.masker import build_masker
from samg_ros.masking.reference import Reference, find_reference
from samg_ros.models.base import choose_device
from sim_bridge.envs.env import SamgEnv, make
from sim_bridge.envs.vector import task_spec_of, vectorize
from sim_bridge.task import tasks

Report = Callable[[int, str], None]

_PLOTTED = (
    "evaluation/episode_return",
    "evaluation/success",
    "training/episode_return",
    "update/critic_loss",
    "update/value",
)


KIND = Kind("drqv2", 3, may_change=("frames",))


class DrQV2Run:
    """One training in its folder; an interrupted one is resumed.

    :param report: called with the frames so far and a line about them.
    :raises CheckpointError: a file of its state is missing or torn.
    :raises ConfigError: it is past the frames that are asked for now.
    """

    def __init__(
        self,
        run: TrainingRun,
        config: DrQV2Config,
        training: DrQV2Training,
        envs: VectorEnv,
        pictures: BatchPictures,
        report: Report,
    ) -> None:
        self._run, self._config = run, config
        self._training, self._envs, self._pictures = training, envs, pictures
        self._report = report
        self._checkpoint = run.path / f"{run.task}.safetensors"
        self._best: tuple[float, float] | None = None  # see score_of
        self._curves_at = 0
        if run.state:
            self._go_back(run.state)
        self._started, self._started_at = time.monotonic(), training.frames

    def _go_back(self, state: dict[str, Any]) -> None:
        """To the last checkpoint."""
        training, config = self._training, self._config
        training.load_state_dict(state["training"])
        # A run ends a little past its frames where a step of all environments is more than one.
        if config.frames < min(training.frames, state["frames_asked"]):
            raise ConfigError(
                f"{self._run.path}: trained for {training.frames} frames already, --frames asks "
                f"for {config.frames}: give as many or more"
            )
        for name in self._run.files:
            self._run.read(name, training.replay.restore_file)
        self._best, self._curves_at = state["best"], state["curves_at"]
        self._pictures.frames, self._pictures.lost = state["pictures"]
        if not training.finished:
            self._run.note_config()

    def to_the_end(self) -> Path:
        """Train what is left, then score. :return: the best agent's checkpoint.

        A run that was scored already stays as it is.
        """
        training = self._training
        if training.finished and self._run.results().get("frames") == training.frames:
            self._report(training.frames, "nothing is left to train")
            return self._checkpoint
        replay_gb = training.replay.nbytes / 1e9
        self._report(training.frames, f"replay: {replay_gb:.2f} GB when full")
        curves = Curves(
            self._run.path,
            tensorboard=self._config.tensorboard,
            position=self._curves_at,
            frames=training.frames,
        )
        try:
            while not training.finished:
                self._advance(curves)
        finally:
            curves.close()
        return self._score()

    def _advance(self, curves: Curves) -> None:
        """One control step of every environment, and what is due after it."""
        training, config = self._training, self._config
        before = training.frames
        for end in training.advance():
            success = {} if end.success is None else {"success": float(end.success)}
            values = {"episode_return": end.episode_return, **success}
            curves.record("training", training.frames, **values)

        def due(every: int) -> bool:
            return training.frames // every > before // every

        if due(config.log_every):
            self._log(curves)
        if due(config.evaluate_every) or training.finished:
            self._evaluate(curves)
        if due(config.checkpoint_every) or training.finished:
            self._save(curves)

    def _log(self, curves: Curves) -> None:
        frames, losses = self._training.frames, self._training.losses()
        if losses:
            stddev = self._config.stddev(self._training.steps)
            curves.record("update", frames, stddev=stddev, **losses)
        if self._config.mask == "samg":
            share = self._pictures.lost / max(self._pictures.frames, 1)
            curves.record("masks", frames, lost_share=share)
        told = f"critic loss {losses['critic_loss']:.3g}" if losses else "random actions"
        self._report(frames, f"{told}, {self._rate():.3g} frames/s")

    def _evaluate(self, curves: Curves) -> None:
        """Score the agent as it is; the best so far is what the checkpoint holds."""
        seeds = VALIDATION_SEEDS[: self._config.evaluation_episodes]
        results = self._play(seeds)
        self._training.begin_anew()
        frames, score = self._training.frames, score_of(results)
        success = {"success": results.success_rate} if results.tells_success else {}
        curves.record("evaluation", frames, episode_return=results.mean_return, **success)
        if self._best is None or score > self._best:
            self._best = score
            self._policy().save(self._checkpoint, self._run.record({}))
        told = f"evaluation: return {results.mean_return:.1f}"
        told += f", success {results.success_rate:.2f}" if success else ""
        self._report(frames, f"{told}, {self._rate():.3g} frames/s")

    def _save(self, curves: Curves) -> None:
        keep, write = self._training.replay.unsaved(self._run.files)
        state = {
            "training": self._training.state_dict(),
            "frames_asked": self._config.frames,
            "best": self._best,
            "pictures": [self._pictures.frames, self._pictures.lost],
            "curves_at": curves.position,
        }
        self._run.save(state, write, keep)

    def _score(self) -> Path:
        """Score the best agent on the seeds that nothing was chosen on; write the results."""
        best = DrQV2Policy.load(self._checkpoint, self._run.task)
        self._training.agent.net.load_state_dict(best.network.state_dict())
        results = self._play(EVALUATION_SEEDS[: self._config.score_episodes])
        record = self._run.record(scores_of({self._config.mask: results}))
        best.save(self._checkpoint, record)
        frames = self._training.frames
        told = {
            **asdict(results),
            "frames": frames,
            "frames_per_s": round(frames / self._run.duration_s, 1),
            "replay_bytes": self._training.replay.nbytes,
        }
        curves = read_curves(self._run.path)
        shown = {name: curves[name][1] for name in _PLOTTED if name in curves}
        at = {name: curves[name][0] for name in shown}
        self._run.finish(record, told, shown, xlabel="frames", at=at)
        return self._checkpoint

    def _play(self, seeds: range) -> EpisodeResults:
        act, stack = self._training.agent.act, self._config.frame_stack
        return evaluate(StackDriver(act, self._pictures, stack), self._envs, seeds)

    def _policy(self) -> DrQV2Policy:
        spec = policy_spec(
            task_spec_of(self._envs),
            image_size=self._config.camera_size,
            frame_stack=self._config.frame_stack,
            mask="none" if self._config.mask == "none" else "targets",
        )
        return DrQV2Policy(spec, self._training.agent.net)

    def _rate(self) -> float:
        """Frames a second since this process began to train."""
        return (self._training.frames - self._started_at) / (time.monotonic() - self._started)


def score_of(results: EpisodeResults) -> tuple[float, float]:
    """What the best agent has most of: successes, of equally many the earlier ones (an episode
    ends with its success, so a slow one collects more rewards); elsewhere the return."""
    steps = [e.success_step for e in results.episodes if e.success_step is not None]
    return results.success_rate, -fmean(steps) if steps else results.mean_return


def train_drqv2(
    task_name: str,
    config: DrQV2Config,
    report: Report,
    make_env: Callable[..., SamgEnv] | None = None,
) -> Path:
    """Train an agent, or resume ``config.resume``; score the best one, leave a run folder.

    :param report: called with the frames so far and a line about them, after every evaluation
        and at every point of the loss curves.
    :param make_env: picklable, makes an environment from the options of
        :class:`sim_bridge.envs.env.EnvConfig`; None takes the task's.
    :return: the checkpoint of the agent that was best on the validation seeds.
    :raises CheckpointError: the run cannot be resumed.
    :raises ConfigError: unknown task, options that contradict each other, or it has diverged.
    :raises SimulationError: the simulator cannot start, or a worker died.
    """
    if make_env is None:
        tasks.get(task_name)  # an unknown name is refused before anything is started
    run = TrainingRun(KIND, task_name, config, f"{task_name}_drqv2_{config.mask}")
    device = choose_device(config.device)
    pictures, side = _pictures(task_name, config)
    one = partial(
        make_env or partial(make, task_name),
        # SAM-G masks in this process, for all environments at once; else the workers do it.
        masks="none" if config.mask == "samg" else config.mask,
        size=side,
        camera_size=config.camera_size,
        keys=("rgb",),
        stop_on_success=False,
    )
    with (
        torch_threads(config.threads),
        closing(vectorize([one] * config.environments, copy=False)) as envs,
    ):
        training = DrQV2Training(envs, pictures, config, device)
        # Last, so that a run that cannot begin leaves no folder.
        with run:
            return DrQV2Run(run, config, training, envs, pictures, report).to_the_end()


def _pictures(task_name: str, config: DrQV2Config) -> tuple[BatchPictures, int]:
    """What makes the agent's pictures, and the side of those it makes them from."""
    if config.mask != "samg":
        return BatchPictures(config.image_size), config.image_size
    reference = Reference.load(find_reference(str(config.reference or task_name)))
    masker = build_masker(reference, MaskerConfig(device=config.device, threads=config.threads))
    return BatchPictures(config.image_size, masker), config.camera_size
