"""Perturbations: what their grammar takes and refuses, and the values they are made of."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from perturbation_fixtures import ARM, save_table

from samg_ros.errors import ConfigError, ImageError, SamgError
from sim_bridge.perturbations import textures as surfaces
from sim_bridge.perturbations.color_tables import SUITE, draw, load
from sim_bridge.perturbations.grammar import (
    Term,
    describe,
    make_perturbation,
    parse,
    perturbations,
    supported,
)

DMC_GB = Path(__file__).parents[4] / "shared" / "data" / "dmc_gb"
BENCHMARK = {
    f"{kind}_{what}"
    for kind, whats in {
        "camera": ("pose", "fov"),
        "light": ("direction", "color"),
        "table": ("color", "texture"),
        "ground": ("color", "texture"),
        "object": ("color", "texture"),
    }.items()
    for what in whats
}


# Grammar


@pytest.mark.parametrize("text", ["", "none", " none "])
def test_nothing_is_no_term(text: str) -> None:
    assert parse(text) == ()
    assert str(make_perturbation(text, "walker_walk")) == "none"


def test_terms_have_a_name_an_argument_and_a_seed() -> None:
    text = "video_hard=/data/my clips/a=b,camera_pose=medium, object_texture=hard@7,noise@0"
    assert parse(text) == (
        Term("video_hard", "/data/my clips/a=b"),
        Term("camera_pose", "medium"),
        Term("object_texture", "hard", 7),
        Term("noise", "", 0),
    )
    assert ",".join(map(str, parse(text))) == text.replace(", ", ",")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/some/folder", "video_hard=FOLDER"),
        ("none,noise", "'none' stands alone"),
        ("noise,,photos", "cannot read ''"),
        ("noise@x", "cannot read"),
        ("noise@4294967296", "at most 4294967295"),
        ("beach", "choose one of: .*video_easy"),
        ("noise=3", "takes no argument"),
        ("camera_fov", "camera_fov=medium"),
        ("camera_fov=harder", "'harder'.*easy, medium, hard"),
        ("camera_fov=hard@", "hard@"),
        ("camera_fov=easy,camera_fov=hard", "given twice"),
        ("noise,photos", "noise and photos both"),
        ("color_easy,color_hard", "color_easy and color_hard both give everything other"),
        ("video_hard", "no folder is given"),
        ("video_easy=nowhere", "no folder 'nowhere'"),
        ("color_hard=nowhere.pt", r"nowhere\.pt"),
        ("table_color=easy", "'walker_walk': it needs a table.*supports: camera_fov"),
        ("object_texture=easy", "needs an object"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_perturbation(text, "walker_walk")


def test_all_of_both_benchmarks_are_there() -> None:
    modes = {f"{mode}_{level}" for mode in ("color", "video") for level in ("easy", "hard")}
    assert set(perturbations.names()) == BENCHMARK | modes | {"noise", "photos"}
    assert set(supported(ARM)) == set(perturbations.names())
    lacking = set(perturbations.names()) - set(supported("adroit_door"))
    assert lacking == {"ground_color", "ground_texture"}
    assert len(describe()) == len(perturbations.names())


@pytest.mark.parametrize("name", ["clip.mp4", "clip.png"])
def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a clip" * 20)
    with pytest.raises(ImageError, match=name):
        make_perturbation(f"video_hard={tmp_path}", "walker_walk")


# Colour tables


@pytest.mark.parametrize("name", ["color_easy", "color_hard"])
def test_the_tables_of_dmc_gb_are_read(name: str) -> None:
    if not DMC_GB.is_dir():
        pytest.skip("the tables lie in ../shared/data/dmc_gb, which is not here")
    table = load(DMC_GB, name)
    assert len(table) == 100 == len(load(DMC_GB / f"{name}.pt", "any"))
    np.testing.assert_allclose(
        [entry.grid_rgb2 - entry.grid_rgb1 for entry in table], 0.1, atol=1e-6
    )
    first = {"color_easy": [0.109165, 0.11903745, 0.18573619], "color_hard": [0, 0.0717, 0.0381]}
    np.testing.assert_allclose(table[0].grid_rgb1, first[name], atol=1e-4)


def test_drawn_tables_lie_about_the_suites_colours() -> None:
    for spread in (0.25, 0.6):
        reds = np.array([entry.self_rgb[0] for entry in draw(spread)])
        assert reds.min() < SUITE.self_rgb[0] * (1 - spread / 2) and reds.max() > SUITE.self_rgb[0]
    easy, hard = (np.std([e.skybox_rgb for e in draw(spread)]) for spread in (0.25, 0.6))
    assert easy < hard


class _Harm:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("harm"),))


@pytest.mark.parametrize("kind", ["code", "text", "shape", "keys", "empty"])
def test_a_bad_table_is_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "color_easy.pt"
    if kind == "code":
        torch.save([_Harm()], path, pickle_module=pickle)
    elif kind == "text":
        path.write_text("not a table")
    elif kind == "shape":
        save_table(path, self_rgb=(1, 2, 3))
    else:
        torch.save([{}] if kind == "keys" else [], path)
    with pytest.raises(SamgError, match=r"color_easy\.pt"):
        make_perturbation(f"color_easy={path}", "walker_walk")
    assert not Path("harm").exists()


# Textures


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: surfaces.wood(surfaces.ORANGE, rng),
        lambda rng: surfaces.wood(surfaces.DARK, rng),
        surfaces.concrete,
        surfaces.flowers,
        surfaces.stripes,
        surfaces.fleece,
        surfaces.chaos,
    ],
)
def test_textures_follow_their_seed_and_tile(make) -> None:
    one, same, other = (make(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == (surfaces.SIZE, surfaces.SIZE, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    for axis in (0, 1):
        image = np.moveaxis(one, axis, 0).astype(int)
        inside = np.abs(np.diff(image, axis=0)).mean(axis=(1, 2)).max()
        assert np.abs(image[0] - image[-1]).mean() <= 1.5 * inside + 1
