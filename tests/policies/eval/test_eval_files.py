"""Files of the same name are told apart."""

from __future__ import annotations

from pathlib import Path

from policies.eval.config import EvalConfig
from policies.eval.drive import settings_of
from policies.eval.folder import read_episodes
from policies.eval.prepare import perturbed_files, prepare, weight_files
from samg_ros.errors import ConfigError
from samg_ros.masking.config import MaskerConfig


def clips(folder: Path, content: bytes) -> str:
    folder.mkdir(parents=True)
    (folder / "one.mp4").write_bytes(content)
    return f"video_hard={folder}"


def test_folders_of_clips_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    one, same, other = (
        clips(tmp_path / name / "clips", content)
        for name, content in (("a", b"1"), ("b", b"2"), ("c", b"longer"))
    )
    assert perturbed_files([one, "none", "photos"]) == perturbed_files(
        [f"{same},camera_pose=easy"]
    )
    assert perturbed_files([one]) != perturbed_files([other])
    assert list(perturbed_files([one])) == ["video_hard=clips"]


def test_weights_that_are_named_are_told_by_their_content(tmp_path: Path) -> None:
    file = tmp_path / "sam.pt"
    file.write_bytes(b"one")
    masker = MaskerConfig(segmenter_weights=str(file))
    before = weight_files(masker)
    file.write_bytes(b"two")
    assert before.keys() == {"segmenter_weights"} and weight_files(masker) != before
    assert weight_files(MaskerConfig()) == {}


def test_they_are_part_of_what_a_folder_of_results_is() -> None:
    config = EvalConfig(masks=("oracle",), perturb=("none",), episodes=1)
    assert settings_of(prepare(config), MaskerConfig())["files"] == {}


def test_a_line_that_is_no_text_is_told_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "episodes.jsonl").write_bytes(b"\xff\xfe\n")
    try:
        read_episodes(tmp_path)
    except ConfigError as error:
        assert "line 1" in str(error)
    else:
        raise AssertionError("taken for an episode")
