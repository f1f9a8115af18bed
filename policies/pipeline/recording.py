"""A recorded run read back: its frames and episodes by stamp, what they amount to, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from policies.episode import EpisodeRecord, Timing
from samg_ros.errors import BagError
from samg_ros.images import masked
from samg_ros.io.bags import messages, open_reader
from samg_ros.io.contact_sheet import draw_overlay
from samg_ros.masking.scores import iou

RAW = "/image_raw"
CAMERA_INFO = "/camera_info"
JOINT_STATES = "/joint_states"
COMMAND = "/joint_command"
CLOCK = "/clock"
TRUTH = "/bridge/mask_truth"
EPISODE = "/bridge/episode"
MASKED = "/masker/image"
MASK = "/masker/mask"
DIAGNOSTICS = "/diagnostics"

RECORDED = (
    RAW,
    CAMERA_INFO,
    JOINT_STATES,
    COMMAND,
    CLOCK,
    TRUTH,
    EPISODE,
    MASKED,
    MASK,
    DIAGNOSTICS,
)

NS_PER_S = 1_000_000_000
VIDEO_FPS = 12.0
SHEET_ROWS = 8
COLUMNS = ("raw", "masked", "overlay", "truth")


class Recording:
    """A bag, opened for reading; a context manager.

    :raises BagError: no bag there, or one that was not finished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = open_reader(path)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.close()

    def counts(self) -> dict[str, int]:
        """Messages by topic."""
        return {topic: info.msgcount for topic, info in self._reader.topics.items()}

    def messages(self, *topics: str) -> Iterator[tuple[str, int, Any]]:
        """(topic, time of receipt in ns, message) of some topics, in order of receipt."""
        wanted = [c for c in self._reader.connections if c.topic in topics]
        for connection, received_ns, raw in messages(self._reader, self._path, wanted):
            message = self._reader.deserialize(raw, connection.msgtype)
            yield connection.topic, received_ns, message

    def groups(self, *topics: str) -> Iterator[tuple[int, dict[str, object]]]:
        """(stamp in ns, topic -> message) for stamps that occur on all the topics, in order.

        A message that is there twice (sent again) counts once.
        """
        waiting: dict[int, dict[str, object]] = {}
        given: set[int] = set()
        for topic, _, message in self.messages(*topics):
            stamp = stamp_ns(message)
            if stamp in given:
                continue
            waiting.setdefault(stamp, {})[topic] = message
            if len(waiting[stamp]) == len(topics):
                given.add(stamp)
                yield stamp, waiting.pop(stamp)


def stamp_ns(message) -> int:
    """The header's stamp."""
    return message.header.stamp.sec * NS_PER_S + message.header.stamp.nanosec


def pixels(message) -> np.ndarray:
    """This package's own images: rgb8 as uint8 [H, W, 3], mono8 as uint8 [H, W]."""
    shape = (message.height, message.width, 3)
    return message.data.reshape(shape if message.encoding == "rgb8" else shape[:2])


def episodes_of(bag: Path) -> list[EpisodeRecord]:
    """Figures of every episode in a bag that was recorded from the pipeline."""
    with Recording(bag) as recording:
        ious = {
            stamp: iou(pixels(group[MASK]) > 0, pixels(group[TRUTH]) > 0)
            for stamp, group in recording.groups(MASK, TRUTH)
        }
        steps: dict[int, list[tuple[int, int, dict[str, str]]]] = {}
        for _, received_ns, message in recording.messages(EPISODE):
            values = {pair.key: pair.value for pair in message.status[0].values}
            row = (stamp_ns(message), received_ns, values)
            steps.setdefault(int(values["episode"]), []).append(row)
    return [_record(rows, ious) for rows in steps.values()]


def told(number: int, record: EpisodeRecord) -> dict[str, Any]:
    """A recorded episode as one flat table. :param number: of the episode in its bag."""
    kept = ("seed", "success", "steps", "mean_iou", "min_iou")
    timing = {} if record.timing is None else asdict(record.timing)
    own = {name: getattr(record, name) for name in kept}
    return {"episode": number, **own, "return": record.episode_return, **timing}


def draw(bag: Path, sheet: Path, video: Path) -> None:
    """Write a contact sheet of frames spread over the run, and a video of all of them.

    :raises BagError: the bag holds no complete frame.
    """
    with Recording(bag) as recording:
        frames = sum(1 for _ in recording.groups(RAW, MASKED, MASK, TRUTH))
        if frames == 0:
            raise BagError(f"{bag} holds no frame with all of raw, masked, mask and truth")
        chosen = set(np.linspace(0, frames - 1, min(SHEET_ROWS, frames)).round().astype(int))
        rows, writer = [], None
        for index, (_, group) in enumerate(recording.groups(RAW, MASKED, MASK, TRUTH)):
            row = _row(group)
            if writer is None:
                size = (row.shape[1], row.shape[0])
                # VP9: what OpenCV's wheel can encode and browsers can play.
                fourcc = cv2.VideoWriter.fourcc(*"vp09")
                writer = cv2.VideoWriter(str(video), fourcc, VIDEO_FPS, size)
            writer.write(row[..., ::-1])
            if index in chosen:
                rows.append(row)
    if writer is not None:
        writer.release()
    cv2.imwrite(str(sheet), np.vstack([_titles(rows[0].shape[1]), *rows])[..., ::-1])


def counts_of(bag: Path) -> dict[str, int]:
    """Messages by topic, and how many frames have the same stamp on raw, masked and command."""
    with Recording(bag) as recording:
        complete = sum(1 for _ in recording.groups(RAW, MASKED, COMMAND))
        return {**recording.counts(), "frames_with_equal_stamps": complete}


def _record(rows: list, ious: dict[int, float]) -> EpisodeRecord:
    last = rows[-1][2]
    latencies = [float(values["latency_ms"]) for _, _, values in rows[1:]] or [np.nan]
    seen = [ious[stamp] for stamp, _, _ in rows if stamp in ious] or [np.nan]
    seconds = (rows[-1][1] - rows[0][1]) / NS_PER_S
    p50, p95 = np.nanpercentile(latencies, [50, 95])
    steps = int(last["step"])
    return EpisodeRecord(
        seed=int(last["seed"]),
        success=None if last["success"] == "" else last["success"] == "1",
        steps=steps,
        episode_return=float(last["return"]),
        mean_iou=float(np.mean(seen)),
        min_iou=float(np.min(seen)),
        timing=Timing(
            frames_per_s=steps / seconds if seconds > 0 else 0.0,
            latency_p50_ms=float(p50),
            latency_p95_ms=float(p95),
            timed_out=last["timed_out"] == "1",
        ),
    )


def _row(group: dict) -> np.ndarray:
    raw, truth = pixels(group[RAW]), pixels(group[TRUTH]) > 0
    overlay = draw_overlay(raw, pixels(group[MASK]) > 0)
    return np.hstack([raw, pixels(group[MASKED]), overlay, masked(raw, truth)])


def _titles(width: int) -> np.ndarray:
    strip = np.full((24, width, 3), 255, np.uint8)
    for index, title in enumerate(COLUMNS):
        at = (index * width // len(COLUMNS) + 6, 17)
        cv2.putText(strip, title, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
