"""Perturbations of a running bridge: from the next picture on, refused, and files that go."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from bridge_probe import NEVER_S, Bridge, open_bridges, spec_of

TASK = "adroit_door"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One in lockstep, running."""
    kinds = {"perturbed": {"spec": spec_of(TASK), "command_timeout_s": NEVER_S}}
    with open_bridges(tmp_path_factory.mktemp("bridges"), kinds) as started:
        started["perturbed"].pause(False)
        yield started["perturbed"]


def test_a_perturbation_shows_from_the_next_picture_on(bridge: Bridge) -> None:
    assert bridge.set("seed", 5)
    clean = bridge.step(bridge.reset())
    focal = bridge.infos[-1].k[0]
    assert bridge.set("seed", 5)
    frame = bridge.reset()
    try:
        assert bridge.perturb("camera_fov=medium,light_color=hard").successful
        perturbed = bridge.step(frame)
        assert perturbed.data != clean.data
        zoom = math.tan(2.09439510239 / 2)  # the benchmark's, against its 90 degrees
        assert bridge.infos[-1].k[0] == pytest.approx(focal / zoom, rel=1e-5)
    finally:
        assert bridge.perturb("none").successful
    assert bridge.set("seed", 5)
    assert bridge.step(bridge.reset()).data == clean.data
    assert bridge.infos[-1].k[0] == focal


def test_a_bad_perturbation_is_refused_and_the_bridge_goes_on(bridge: Bridge) -> None:
    frame = bridge.reset()
    assert bridge.perturb("object_color=hard").successful
    try:
        for text, reason in (
            ("beach", "choose one of"),
            ("video_hard=/no/such/folder", "/no/such/folder"),
            ("ground_color=easy", "supports"),
        ):
            result = bridge.perturb(text)
            assert not result.successful and reason in result.reason
        frame = bridge.step(frame)
    finally:
        assert bridge.perturb("none").successful
    assert bridge.step(frame).data != frame.data


def test_a_clip_that_is_gone_at_a_reset_is_told_and_the_episode_goes_on(
    bridge: Bridge, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.png"
    cv2.imwrite(str(clip), np.full((8, 8, 3), 200, np.uint8))
    assert bridge.perturb(f"video_hard={tmp_path}").successful
    try:
        frame = bridge.reset()
        failed = bridge.count("failed_resets")
        clip.unlink()
        refusal = bridge.call("reset")
        assert not refusal.success and str(clip) in refusal.message
        bridge.wait_for_count("failed_resets", failed + 1)
        bridge.step(frame)
        assert (bridge.episode()["step"], bridge.episode()["done"]) == ("1", "0")
    finally:
        assert bridge.perturb("none").successful
    bridge.step(bridge.reset())


def test_a_clip_that_is_gone_at_its_end_ends_the_episode_alone(
    bridge: Bridge, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10, (16, 16))
    for grey in (50, 200):
        writer.write(np.full((16, 16, 3), grey, np.uint8))
    writer.release()
    assert bridge.perturb(f"video_hard={tmp_path}").successful
    try:
        frame = bridge.step(bridge.reset())
        failed = bridge.count("failed_pictures")
        clip.unlink()
        bridge.answer(frame)
        bridge.wait_for_count("failed_pictures", failed + 1)
        bridge.probe.wait_for(lambda: bridge.episode()["timed_out"] == "1", "it is given up")
        assert f"episode given up: cannot read the background video {clip}" in bridge.stage.log(
            bridge.name
        )
    finally:
        assert bridge.perturb("none").successful
    bridge.step(bridge.reset())
    assert bridge.episode()["timed_out"] == "0"
