"""``samg bench sim``: what is counted as what, on a clock that the test turns, and a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samg_ros.cli import main
from samg_ros.errors import ConfigError, SimulationError
from sim_bridge.bench.sim import SimBench

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
for module in ("sim_bridge.render.renderer", "dm_control", "gymnasium_robotics"):
    pytest.importorskip(module, reason="needs the [sim] extra", exc_type=ModuleNotFoundError)

from sim_bridge.bench import sim
from sim_bridge.bench.sim import (
    Round,
    Seconds,
    figures,
    measure,
    measure_vector,
    plain_renderer,
)
from sim_bridge.scenes.scene import Scene, SceneFrame, make_scene
from sim_bridge.task import StepResult, make_task

SIZE = 32
QUICK = ("--size", str(SIZE), "--steps", "4", "--rounds", "2")
PHYSICS_S, PICTURE_S, PLAIN_S, MASK_S, RESET_S = 0.001, 0.010, 0.008, 0.030, 99.0


def seconds(wall: float, cpu: float | None = None) -> Seconds:
    return Seconds(wall, wall if cpu is None else cpu)


class TestFigures:
    def test_rates_shares_and_ratios_of_one_round(self):
        one = Round(
            20,
            physics=seconds(0.1),
            pictures=seconds(2.0, 0.5),
            plain=seconds(1.8, 0.4),
            loop_physics=seconds(1.0),
            loop_pictures=seconds(3.0, 1.0),
        )
        found = figures("a_task", [one])
        assert (found.steps.per_s, found.steps.per_cpu_s) == pytest.approx((200, 200))
        assert (found.pictures.per_s, found.pictures.per_cpu_s) == pytest.approx((10, 40))
        assert (found.frames.per_s, found.frames.per_cpu_s) == pytest.approx((5, 10))
        assert found.rendering_share == pytest.approx(0.75)
        # A plain renderer that needs less time makes a ratio below one.
        assert (found.plain_ratio, found.plain_cpu_ratio) == pytest.approx((0.9, 0.8))

    def test_one_round_that_was_disturbed_decides_nothing(self):
        calm = Round(10, *[seconds(1.0)] * 5)
        disturbed = Round(10, *[seconds(s) for s in (50.0, 70.0, 2.0, 90.0, 3.0)])
        found = figures("a_task", [calm, disturbed, calm])
        assert found.steps.per_s == found.pictures.per_s == pytest.approx(10)
        assert found.frames.per_s == pytest.approx(5)
        assert found.plain_ratio == 1 and found.rendering_share == 0.5
        assert (found.pictures.per_s, found.pictures.per_cpu_s) == (10, 10)


class Clock:
    """A time that only runs on while something works; CPU time is half of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module) -> None:
        self.now = 1000.0
        time = SimpleNamespace(perf_counter=lambda: self.now, process_time=lambda: self.now / 2)
        monkeypatch.setattr(module, "time", time)


class ClockTask:
    """A task whose every call takes its time, and whose episodes end after seven steps."""

    def __init__(self, clock: Clock) -> None:
        self.spec = SimpleNamespace(
            action_size=2, targets=("thing",), action_to_command=lambda action: action
        )
        self.look: tuple = ()
        self.log: list[str] = []
        self._clock, self._step = clock, 0

    def _work(self, name: str, seconds: float) -> None:
        self.log.append(name)
        self._clock.now += seconds

    def reset(self, seed: int) -> StepResult:
        self._work("reset", RESET_S)
        self._step = 0
        return self._result()

    def step(self, command: np.ndarray) -> StepResult:
        assert self._step < 7 and command.shape == (2,)
        self._work("step", PHYSICS_S)
        self._step += 1
        return self._result()

    def render(self, camera: str | None = None) -> np.ndarray:
        self._work("ours", PICTURE_S)
        return np.zeros((4, 4, 3), np.uint8)

    def plain(self) -> np.ndarray:
        self._work("plain", PLAIN_S)
        return np.zeros((4, 4, 3), np.uint8)

    def segmentation(self, camera: str | None = None) -> np.ndarray:
        self._work("mask", MASK_S)
        return np.zeros((4, 4), np.uint8)

    def camera_fovy_rad(self, camera: str | None = None) -> float:
        return 1.0

    def _result(self) -> StepResult:
        return StepResult(np.zeros(1), 0.0, None, self._step, 0.1 * self._step, self._step == 7)


class TestRound:
    def test_every_part_is_timed_alone_and_resets_are_not(self, monkeypatch):
        task = ClockTask(Clock(monkeypatch, sim))
        walk = sim._Walk(Scene(task), seed=0)
        count = 25
        one = sim._round(walk, task.plain, count)
        assert task.log.count("reset") > 5
        assert one.steps == count
        parts = (one.physics, one.pictures, one.plain, one.loop_physics, one.loop_pictures)
        each = (PHYSICS_S, PICTURE_S, PLAIN_S, PHYSICS_S, PICTURE_S + MASK_S)
        assert [part.wall for part in parts] == pytest.approx([count * s for s in each])
        assert [part.cpu for part in parts] == pytest.approx([count * s / 2 for s in each])

    def test_renderers_take_turns_in_short_blocks(self, monkeypatch):
        task = ClockTask(Clock(monkeypatch, sim))
        sim._in_turn(task.render, task.plain, 25)
        turns = [task.log[0]]
        for name in task.log:
            turns += [name] if name != turns[-1] else []
        # Every second pair in the other order, each block begun with one that is not timed.
        assert turns == ["ours", "plain", "ours", "plain"]
        assert task.log.count("ours") == task.log.count("plain") == 25 + 3

    def test_pictures_alone_are_not_perturbed(self, monkeypatch):
        task = ClockTask(Clock(monkeypatch, sim))
        task.look = ("something",)
        seen = []

        def render(camera: str | None = None) -> np.ndarray:
            seen.append(task.look)
            return np.zeros((4, 4, 3), np.uint8)

        task.render = render
        sim._round(sim._Walk(Scene(task), seed=0), task.plain, 3)
        assert set(seen) == {()}


@pytest.mark.parametrize("shadows", [False, True])
def test_the_plain_renderer_draws_the_same_picture(shadows: bool) -> None:
    task = make_task("adroit_door", height=SIZE, width=SIZE, shadows=shadows)
    try:
        task.reset(0)
        with plain_renderer(task, SIZE, shadows) as draw:
            for _ in range(2):
                np.testing.assert_array_equal(draw(), task.render())
                task.step(task.spec.command_limits[1])
        # Its closing leaves the other's context as it was.
        before = task.segmentation()
        assert before.any() and task.render().any()
    finally:
        task.close()


def test_a_task_without_a_model_cannot_be_drawn_plainly() -> None:
    task = SimpleNamespace(spec=SimpleNamespace(name="toy"))
    with (
        pytest.raises(SimulationError, match="toy has no MuJoCo model"),
        plain_renderer(task, SIZE, False),
    ):
        pass


def test_a_measured_task_has_all_figures() -> None:
    found = measure("cartpole_swingup", SimBench(size=SIZE, steps=3, rounds=2, perturb="noise"))
    assert found.task == "cartpole_swingup"
    rates = [found.steps, found.pictures, found.frames]
    assert all(rate.per_s > 0 and rate.per_cpu_s > 0 for rate in rates)
    assert 0 < found.rendering_share < 1
    assert found.plain_ratio > 0 and found.plain_cpu_ratio > 0


class ClockEnvs:
    """Stands for environments in workers: steps that take a while, episodes of five of them."""

    def __init__(self, clock: Clock, count: int) -> None:
        self.num_envs = count
        self.action_space = SimpleNamespace(shape=(count, 2))
        self.begun: list = []
        self._clock, self._steps = clock, np.zeros(count, int)

    def reset(self, seed, options=None) -> tuple:
        self.begun.append(list(seed))
        self._clock.now += RESET_S
        self._steps[[each is not None for each in seed]] = 0
        return {}, {}

    def step(self, actions) -> tuple:
        assert actions.shape == (self.num_envs, 2) and max(self._steps) < 5
        self._clock.now += 0.5
        self._steps += 1
        never = np.zeros(self.num_envs, bool)
        return {}, np.zeros(self.num_envs), never, self._steps == 5, {}


class TestVector:
    def test_frames_of_all_copies_count_and_resets_do_not(self, monkeypatch):
        envs = ClockEnvs(Clock(monkeypatch, sim), 3)
        walk = sim._VectorWalk(envs, seed=10)
        assert walk.go(12) == pytest.approx(3 / 0.5)
        assert envs.begun == [[10, 11, 12], [13, 14, 15], [16, 17, 18]]

    def test_workers_are_measured(self):
        bench = SimBench(size=SIZE, steps=3, rounds=2, perturb="noise")
        found = measure_vector("cartpole_swingup", 2, bench)
        assert (found.task, found.workers) == ("cartpole_swingup", 2)
        assert found.frames_per_s > 0


def test_scenes_of_many_processes_are_made_by_name() -> None:
    scene = make_scene("cartpole_swingup", height=SIZE, width=SIZE, perturb="noise@3")
    plain = make_scene("cartpole_swingup", height=SIZE, width=SIZE)
    try:
        frames: list[SceneFrame] = []
        for one in (scene, plain):
            one.reset(0)
            frames.append(one.observe())
        hidden = frames[0].targets == 0
        assert (frames[0].rgb[hidden] != frames[1].rgb[hidden]).any(-1).mean() > 0.9
        np.testing.assert_array_equal(frames[0].rgb[~hidden], frames[1].rgb[~hidden])
    finally:
        scene.close()
        plain.close()


class TestCommand:
    def run(self, out: Path, *options: str) -> int:
        return main(["bench", "sim", *QUICK, "--out", str(out), *options])

    def test_a_run_leaves_its_figures(self, tmp_path, capsys):
        out = tmp_path / "run"
        tasks = ("--tasks", "cartpole_swingup", "adroit_relocate")
        copies = ("--workers", "1", "--vector-task", "cartpole_swingup")
        assert self.run(out, *tasks, *copies) == 0
        told = json.loads((out / "results.json").read_text())
        assert [row["task"] for row in told["tasks"]] == ["cartpole_swingup", "adroit_relocate"]
        assert [row["workers"] for row in told["vector"]] == [1]
        assert told["machine"]["cores"] >= 1
        settings = json.loads((out / "config.json").read_text())["settings"]
        assert settings["size"] == SIZE
        shown = capsys.readouterr().out
        for row in told["tasks"]:
            line = next(one for one in shown.splitlines() if row["task"] in one)
            assert f"{row['plain_ratio']:.2f} ({row['plain_cpu_ratio']:.2f})" in line
            assert f"{row['steps']['per_s']:.0f} ({row['steps']['per_cpu_s']:.0f})" in line
        assert self.run(out) == 1
        assert "is not empty" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--tasks", "adroit_dor"), "unknown task 'adroit_dor'"),
            (("--vector-task", "adroit_dor"), "unknown task 'adroit_dor'"),
            (("--perturb", "table_color=easy"), "does not suit task"),
            (("--workers", "1", "0"), "each must be at least 1"),
            (("--size", "4"), "size is 4"),
            (("--rounds", "0"), "rounds is 0"),
        ],
    )
    def test_what_cannot_be_measured_is_refused_before_anything_runs(
        self, options, said, monkeypatch, tmp_path, capsys
    ):
        monkeypatch.setattr(sim, "measure", pytest.fail)
        assert self.run(tmp_path / "run", *options) == 1
        assert said in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists()

    def test_without_workers_no_other_task_is_looked_at(self):
        assert SimBench(workers=()).workers == ()
        with pytest.raises(ConfigError, match="at least 1"):
            SimBench(workers=(2, -1))
