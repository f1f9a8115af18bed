"""``samg mask`` over bags: everything of the original, and the masked topics beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from offline_fixtures import (
    Messages,
    RedMasker,
    contents,
    frame,
    lines,
    mask,
    red,
    write_reference,
)
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability
from rosbags.interfaces import QosTime as Time
from rosbags.rosbag2 import StoragePlugin

from samg_ros import images
from samg_ros.io.bags import BagWriter

FRAMES = 6
DAMAGED = 3
ZSTD_MAGIC = bytes.fromhex("28b52ffd")
CAMERA, FRONT, WEIGHT = "/camera/image_raw", "/front/compressed", "/scale"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
QOS = Qos(
    QosHistory.KEEP_LAST,
    3,
    QosReliability.BEST_EFFORT,
    QosDurability.VOLATILE,
    Time(0, 0),
    Time(0, 0),
    QosLiveliness.AUTOMATIC,
    Time(0, 0),
    avoid_ros_namespace_conventions=False,
)


@pytest.fixture
def reference(tmp_path) -> Path:
    return write_reference(tmp_path / "square.npz")


@pytest.fixture
def use(monkeypatch):
    """Lets ``samg mask`` build a given masker."""

    def patch(masker: RedMasker) -> RedMasker:
        monkeypatch.setattr("samg_ros.masking.masker.build_masker", lambda *_: masker)
        return masker

    return patch


def write_bag(path: Path, storage: StoragePlugin = StoragePlugin.MCAP, began_s: int = 1) -> Path:
    """Padded bgr8 images (one cut short), PNG images, and messages of a type of its own."""
    messages = Messages(path, storage)
    for i in range(FRAMES):
        stamp = began_s * 10**9 + i * 10**8
        image = messages.image(frame(i), stamp, padding=5)
        if i == DAMAGED:
            image.data = image.data[:50]
        messages.write(CAMERA, IMAGE, stamp + 7, image, [QOS])
        compressed = messages.compressed(frame(i + 1), stamp + 3)
        messages.write(FRONT, COMPRESSED, stamp + 9, compressed, [])
        messages.write(WEIGHT, "shop/msg/Weight", stamp + 11, messages.weight(i / 2), [])
    messages.close()
    return path


def read(bag: Path) -> dict[str, list[tuple[int, bytes, object]]]:
    """(time of receipt, data, message) by topic."""
    found: dict[str, list] = {}
    with AnyReader([bag]) as reader:
        for connection, received_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((received_ns, bytes(data), message))
    return found


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.fixture
def bag(tmp_path) -> Path:
    return write_bag(tmp_path / "recorded")


class TestBag:
    def test_everything_is_copied_and_the_masked_topics_stand_beside_it(
        self, bag, reference, tmp_path, use, capfd
    ):
        use(RedMasker())
        assert mask(bag, reference, tmp_path / "out", "--topic", CAMERA) == 0
        before, after = read(bag), read(tmp_path / "out/bag")
        for topic in before:
            assert [row[:2] for row in after[topic]] == [row[:2] for row in before[topic]]
        assert set(after) - set(before) == {"/samg/image", "/samg/mask"}
        good = [i for i in range(FRAMES) if i != DAMAGED]
        for topic in ("/samg/image", "/samg/mask"):
            rows = [before[CAMERA][i] for i in good]
            assert [row[0] for row in after[topic]] == [row[0] for row in rows]
            assert [stamp_ns(row[2]) for row in after[topic]] == [stamp_ns(r[2]) for r in rows]
        for row, i in enumerate(good):
            image, shown = after["/samg/image"][row][2], red(frame(i))
            assert image.header.frame_id == "camera"
            assert (images.to_rgb(image) == frame(i) * shown[..., None]).all()
            assert (images.to_mask(after["/samg/mask"][row][2]) == shown).all()
        assert lines(tmp_path / "out")[DAMAGED]["status"] == "unreadable"
        assert "image data has 50 bytes" in capfd.readouterr().err

    def test_quality_of_service_and_definitions_are_kept(self, bag, reference, tmp_path, use):
        use(RedMasker())
        mask(bag, reference, tmp_path / "out", "--topic", CAMERA)
        with AnyReader([tmp_path / "out/bag"]) as reader:
            qos = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
            assert "float64 grams" in next(
                c.msgdef.data for c in reader.connections if c.topic == WEIGHT
            )
        assert qos[CAMERA] == qos["/samg/image"] == [QOS]
        assert qos[FRONT] == []

    def test_a_compressed_topic_and_names_by_option(self, bag, reference, tmp_path, use):
        use(RedMasker())
        names = ("--image-topic", "/seen", "--mask-topic", "/where")
        mask(bag, reference, tmp_path / "out", "--topic", FRONT, *names)
        after = read(tmp_path / "out/bag")
        assert len(after["/seen"]) == len(after["/where"]) == FRAMES
        found = [images.to_mask(message) for _, _, message in after["/where"]]
        assert all((m == red(frame(i + 1))).all() for i, m in enumerate(found))

    def test_a_single_file_and_the_other_storage(self, bag, reference, tmp_path, use):
        use(RedMasker())
        other = write_bag(tmp_path / "sqlite", StoragePlugin.SQLITE3)
        (file,) = bag.glob("*.mcap")
        mask(file, reference, tmp_path / "a", "--topic", CAMERA)
        mask(other, reference, tmp_path / "b", "--topic", CAMERA)
        one, two = read(tmp_path / "a/bag"), read(tmp_path / "b/bag")
        assert {t: [r[:2] for r in rows] for t, rows in one.items()} == {
            t: [r[:2] for r in rows] for t, rows in two.items()
        }

    def test_an_interrupted_run_goes_on_and_ends_the_same(self, bag, reference, tmp_path, use):
        options = ("--topic", CAMERA, "--batch", "2")
        use(RedMasker())
        mask(bag, reference, tmp_path / "whole", *options)
        use(RedMasker(stop_after=1))
        assert mask(bag, reference, tmp_path / "cut", *options) == 130
        assert not (tmp_path / "cut/bag").exists()
        again = use(RedMasker())
        mask(bag, reference, tmp_path / "cut", *options)
        assert sum(shape[0] for shape in again.batches) == FRAMES - 1 - 2
        whole, cut = contents(tmp_path / "whole"), contents(tmp_path / "cut")
        assert cut == whole

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ((), "choose an image topic"),
            (("--topic", "/scale"), "it has: /camera/image_raw, /front/compressed"),
        ],
    )
    def test_a_topic_that_is_not_clear(self, bag, reference, tmp_path, capsys, options, text):
        assert mask(bag, reference, tmp_path / "out", *options) == 1
        assert text in capsys.readouterr().err

    @pytest.mark.parametrize("taken", [WEIGHT, "/samg/image"])
    def test_a_new_topic_that_is_there_already_is_refused_before_masking(
        self, bag, reference, tmp_path, capsys, taken
    ):
        options = ("--topic", CAMERA, "--mask-topic", taken)
        assert mask(bag, reference, tmp_path / "out", *options) == 1
        assert f"two topics {taken}" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_another_bag_of_the_same_name(self, bag, reference, tmp_path, use, capsys):
        use(RedMasker())
        copied, other = tmp_path / "copied" / bag.name, tmp_path / "other" / bag.name
        shutil.copytree(bag, copied)
        write_bag(other, began_s=2)
        assert mask(bag, reference, tmp_path / "out", "--topic", CAMERA) == 0
        assert mask(copied, reference, tmp_path / "out", "--topic", CAMERA) == 0
        assert mask(other, reference, tmp_path / "out", "--topic", CAMERA) == 1
        assert "run with other settings (input)" in capsys.readouterr().err

    def test_a_bag_that_was_cut_off(self, bag, reference, tmp_path, capsys):
        (file,) = bag.glob("*.mcap")
        broken = tmp_path / "broken.mcap"
        broken.write_bytes(file.read_bytes()[:300])
        assert mask(broken, reference, tmp_path / "out") == 1
        assert "cannot read the bag" in capsys.readouterr().err

    def test_a_bag_with_damaged_data(self, reference, tmp_path, use, capsys):
        use(RedMasker())
        messages, writer = Messages(tmp_path / "whole"), BagWriter(tmp_path / "bag")
        writer.add_topic(CAMERA, IMAGE, [])
        image = messages.image(frame(0), 5)
        writer.write(CAMERA, 5, bytes(messages.store.serialize_cdr(image, IMAGE)))
        writer.close()
        messages.close()
        (path,) = (tmp_path / "bag").glob("*.mcap")
        data = path.read_bytes()
        at = data.index(ZSTD_MAGIC) + 12
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        assert mask(tmp_path / "bag", reference, tmp_path / "out") == 1
        assert "is damaged" in capsys.readouterr().err

    def test_sixteen_bit_frames(self, reference, tmp_path, use):
        messages = Messages(tmp_path / "deep")
        image = messages.image(frame(0), 5)
        image.encoding, image.is_bigendian, image.step = "rgb16", 1, 64 * 6
        deep = (frame(0).astype(np.uint16) * 257).astype(">u2")
        image.data = deep.reshape(-1).view(np.uint8)
        messages.write(CAMERA, IMAGE, 5, image, [])
        messages.close()
        use(RedMasker())
        assert mask(tmp_path / "deep", reference, tmp_path / "out") == 0
        (row,) = read(tmp_path / "out/bag")["/samg/mask"]
        assert (images.to_mask(row[2]) == red(frame(0))).all()
