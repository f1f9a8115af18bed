"""What every perturbation must do to every task that supports it, and must not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from kinds import quick

from sim_bridge.perturbations.grammar import (
    INTENSITIES,
    Perturbation,
    make_perturbation,
    perturbations,
    supported,
)
from sim_bridge.render.parts import parts_of
from sim_bridge.scenes.scene import Scene
from sim_bridge.task import Task, make_task, tasks

if TYPE_CHECKING:
    from sim_bridge.render.stage import Stage

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
for module in ("sim_bridge.render.renderer", "dm_control", "gymnasium_robotics", "skimage"):
    pytest.importorskip(module, reason="needs the [sim] extra", exc_type=ModuleNotFoundError)

SIZE = 64
SEED = 3
STEPS = 200
CLIP = (250, 20, 240)


@pytest.fixture(scope="module", params=quick(tasks.names()))
def task(request: pytest.FixtureRequest) -> Iterator[Task]:
    task = make_task(request.param, height=SIZE, width=SIZE)
    yield task
    task.close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one picture, all of one colour."""
    folder = tmp_path_factory.mktemp("clips")
    cv2.imwrite(str(folder / "clip.png"), np.full((30, 40, 3), CLIP[::-1], np.uint8))
    return folder


def terms(task: str, clips: Path) -> list[str]:
    """Every term at its every intensity that ``task`` supports."""
    found = []
    for name in supported(task):
        written = perturbations.get(name).argument
        if written == "=easy|medium|hard":
            found += [f"{name}={level}" for level in INTENSITIES]
        else:
            found.append(f"{name}={clips}" if written == "=FOLDER" else name)
    return found


def everything(task: str, clips: Path) -> Perturbation:
    """One of each kind at its hardest, all at once; of the fields of view the easiest."""
    chosen = {term.partition("=")[0]: term for term in terms(task, clips)}
    for other in ("noise", "photos", "video_easy", "color_easy"):
        chosen.pop(other)
    chosen["camera_fov"] = "camera_fov=easy"  # from the hard pose the others show nothing
    return make_perturbation(",".join(chosen.values()), task)


def first_picture(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """:return: uint8 [SIZE, SIZE, 3] and targets, uint8 [SIZE, SIZE]."""
    scene.reset(SEED)
    frame = scene.observe()
    return frame.rgb, frame.targets


def states(task: Task, looks: list[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    """200 random steps, in which each of ``looks`` has its turn.

    :return: all that the physics goes through, float64 [200, ...], and a picture of each look.
    """
    scene, rng = Scene(task), np.random.default_rng(0)
    scene.reset(SEED)
    seen, pictures = [], []
    turns = dict(zip(np.linspace(0, STEPS - 1, len(looks)).astype(int), looks, strict=True))
    for step in range(STEPS):
        if step in turns:
            scene.perturb(make_perturbation(turns[step], task.spec.name))
            frame = scene.observe()
            pictures += [frame.rgb, frame.targets]
        result = scene.act(rng.uniform(-1, 1, task.spec.action_size))
        joints = task.joint_state()
        seen.append(np.hstack([result.state, result.reward, joints.position, joints.velocity]))
        if result.done:
            scene.reset(SEED + 1)
    return np.array(seen), pictures


def test_every_term_shows_and_leaves_no_trace(task: Task, clips: Path) -> None:
    name = task.spec.name
    scene = Scene(task)
    scene.reset(SEED)
    clean = scene.observe()
    for term in terms(name, clips):
        scene.perturb(make_perturbation(term, name))
        shown = scene.observe()
        assert shown.rgb.shape == (SIZE, SIZE, 3) and shown.rgb.dtype == np.uint8, term
        assert shown.targets.any(), term
        assert (shown.rgb != clean.rgb).any(), term
        moved = term.startswith("camera")
        assert moved or np.array_equal(shown.targets, clean.targets), term
        if "=easy" not in term and "=medium" not in term:
            scene.perturb(make_perturbation(term, name))
            np.testing.assert_array_equal(scene.observe().rgb, shown.rgb, term)
            task.look = ()
            np.testing.assert_array_equal(task.render(), clean.rgb, term)
            np.testing.assert_array_equal(task.segmentation(), clean.targets, term)


def test_no_term_changes_the_physics_and_a_seed_always_shows_the_same(
    task: Task, clips: Path
) -> None:
    clean, _ = states(task, [])
    assert np.isfinite(clean).all()
    looks = terms(task.spec.name, clips)
    perturbed, pictures = states(task, looks)
    np.testing.assert_array_equal(perturbed, clean)
    again, same_pictures = states(task, looks)
    np.testing.assert_array_equal(again, clean)
    assert len(pictures) == 2 * len(looks)
    for one, other in zip(pictures, same_pictures, strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_terms_at_once_do_not_change_it_either(task: Task, clips: Path) -> None:
    name = task.spec.name
    clean, _ = states(task, [])
    behind = ("noise", "photos", f"video_easy={clips}", f"video_hard={clips}")
    colours = ("color_easy", "color_hard") * 2
    levels = (*INTENSITIES, "hard")
    for level, colour, backdrop in zip(levels, colours, behind, strict=True):
        shown = [term for term in terms(name, clips) if term.endswith(f"={level}")]
        text = ",".join([*shown, colour, backdrop])
        perturbed, pictures = states(task, [text] * 4)
        np.testing.assert_array_equal(perturbed, clean, text)
        assert len(pictures) == 8


def test_a_moved_camera_never_dives_into_the_ground(task: Task) -> None:
    """One that tracks sinks with a robot that falls; from below, masks and pictures differ."""
    ground = parts_of(task.spec.name).ground
    rng = np.random.default_rng(0)
    heights: list[float] = []

    class Eye:
        def apply(self, stage: Stage) -> None:
            heights.append(stage.scene.camera[0].pos[2] - stage.heights(ground).max())

    task.reset(SEED)
    for step in range(60):
        action = rng.uniform(-1, 1, task.spec.action_size)
        task.step(task.spec.action_to_command(action))
        for level in INTENSITIES if step % 10 == 9 else ():
            task.look = (*make_perturbation(f"camera_pose={level}", task.spec.name).look, Eye())
            task.render()
    task.look = ()
    assert len(heights) == 6 * len(INTENSITIES) and min(heights) > 0.1


def test_a_change_while_running_shows_at_once(task: Task, clips: Path) -> None:
    name = task.spec.name
    action = np.zeros(task.spec.action_size)
    clean, scene = Scene(task), Scene(task, everything(name, clips))
    pictures = []
    for shown in (clean, scene):
        shown.reset(SEED)
        shown.act(action)
        pictures.append(shown.observe().rgb)
    clean.reset(SEED)
    clean.observe()
    clean.act(action)
    clean.perturb(everything(name, clips))
    np.testing.assert_array_equal(clean.observe().rgb, pictures[1])
    clean.perturb(make_perturbation("none", name))
    np.testing.assert_array_equal(clean.observe().rgb, pictures[0])


def test_videos_keep_the_targets_and_easy_ones_the_floor(task: Task, clips: Path) -> None:
    name = task.spec.name
    before, targets = first_picture(Scene(task))
    sky = task.backdrop()
    easy, _ = first_picture(Scene(task, make_perturbation(f"video_easy={clips}", name)))
    hard, _ = first_picture(Scene(task, make_perturbation(f"video_hard={clips}", name)))
    for seen, covered in ((easy, sky & (targets == 0)), (hard, targets == 0)):
        assert covered.any()
        assert (seen[covered] == CLIP).all()
        np.testing.assert_array_equal(seen[~covered], before[~covered])
    assert (easy != hard).any()


def test_a_wider_view_shows_things_smaller_and_tells(task: Task) -> None:
    scene = Scene(task)
    scene.reset(SEED)
    own = scene.observe()
    scene.perturb(make_perturbation("camera_fov=easy", task.spec.name))
    wide = scene.observe()
    zoom = np.tan(1.79519580205 / 2)  # the benchmark's easy view against its 90 degrees
    assert np.tan(wide.fovy_rad / 2) == pytest.approx(zoom * np.tan(own.fovy_rad / 2), rel=1e-6)
    # What the narrow picture shows is the middle of the wide one.
    far = np.flatnonzero((own.targets > 0).any(axis=1))[-1] - (SIZE - 1) / 2
    inside = np.abs(far) < SIZE / 2 - 1  # else it may go on outside of the narrow picture
    seen = np.flatnonzero((wide.targets > 0).any(axis=1))[-1] - (SIZE - 1) / 2
    assert seen == pytest.approx(far / zoom, abs=1.5) or not inside


def test_seeds_decide_what_is_drawn(task: Task) -> None:
    name = task.spec.name
    term = "table_texture=hard" if "table_texture" in supported(name) else "ground_texture=hard"

    def shown(text: str, seed: int) -> bytes:
        scene = Scene(task, make_perturbation(text, name))
        scene.reset(seed)
        return scene.observe().rgb.tobytes()

    free = {seed: shown(term, seed) for seed in (0, 1)}
    scene = Scene(task, make_perturbation(f"{term}@0", name))
    scene.reset(1)
    pinned = scene.observe().rgb
    assert free[0] == shown(f"{term}@0", 0)
    assert pinned.tobytes() != free[1]
    assert shown(f"{term}@0", 1) == pinned.tobytes()
