"""What happens to messages that come faster than a bag takes them, and when it takes no more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="needs the [bag] extra")

from rosbags.highlevel import AnyReader

from samg_ros.errors import BagError
from samg_ros.io.bags import BagThread, BagWriter

TOPIC, TYPE = "/said", "std_msgs/msg/String"
NEVER_S = 3600.0
WAIT_S = 60.0


class SlowBag(BagWriter):
    """Writes a message only once it may."""

    def __init__(self, path: Path, **options) -> None:
        super().__init__(path, **options)
        self.may_write, self.begun = threading.Event(), threading.Event()

    def write(self, topic: str, received_ns: int, data: bytes) -> None:
        self.begun.set()
        assert self.may_write.wait(WAIT_S)
        super().write(topic, received_ns, data)


class Recorded:
    """A bag thread and what it has told."""

    def __init__(self, path: Path, *, compress: bool = True, **options) -> None:
        self.bag = SlowBag(path, compress=compress)
        self.waits_s: list[float] = []
        given = {"max_cache": 100, "flush_s": NEVER_S, "min_free": 0, **options}
        self.thread = BagThread(self.bag, written=self.waits_s.append, **given)
        self.thread.add_topic(TOPIC, TYPE, [])

    def write(self, number: int, size: int = 40) -> bool:
        return self.thread.write(TOPIC, number, bytes([number]) * size)

    def wait_for_error(self) -> None:
        self.thread._thread.join(WAIT_S)
        assert self.thread.error is not None


def messages(path: Path) -> list[tuple[int, bytes]]:
    with AnyReader([path]) as reader:
        return [(stamp, bytes(data)) for _, stamp, data in reader.messages()]


def test_what_finds_no_room_is_refused_and_the_rest_is_written(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "bag")
    assert recorded.write(1)
    assert recorded.bag.begun.wait(WAIT_S)
    assert recorded.write(2)
    assert not recorded.write(3)  # 40 bytes are being written, 40 wait, 100 may
    assert recorded.write(4, size=20)
    assert recorded.waits_s == []
    recorded.bag.may_write.set()
    recorded.thread.close()
    assert messages(recorded.thread.path) == [
        (1, bytes([1]) * 40),
        (2, bytes([2]) * 40),
        (4, bytes([4]) * 20),
    ]
    assert len(recorded.waits_s) == 3 and recorded.thread.error is None


@pytest.mark.parametrize("compress", [True, False])
def test_chunks_are_compressed_where_asked(compress: bool, tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "bag", compress=compress)
    recorded.bag.may_write.set()
    recorded.write(1, size=100_000)
    recorded.thread.close()
    (path,) = recorded.thread.path.glob("*.mcap")
    assert (path.stat().st_size < 50_000) == compress


def test_a_message_larger_than_the_cache_is_written_when_nothing_waits(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "bag")
    assert recorded.write(1, size=1000)
    assert not recorded.write(2, size=1)
    recorded.bag.may_write.set()
    recorded.thread.close()
    assert messages(recorded.thread.path) == [(1, bytes([1]) * 1000)]


def test_closing_twice_or_without_a_message_leaves_an_empty_bag(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "bag")
    recorded.thread.close()
    recorded.thread.close()
    assert messages(recorded.thread.path) == []


def test_a_disk_that_fills_ends_the_writing_and_keeps_what_is_there(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "bag", flush_s=0.01, min_free=2**62)
    recorded.wait_for_error()
    recorded.write(1)  # by then nobody writes it, and closing does not wait for it
    with pytest.raises(BagError, match="the disk has only"):
        recorded.thread.close()
    assert recorded.thread.waiting == 1
    assert messages(recorded.thread.path) == []


@pytest.mark.parametrize("error", [BagError("no space left"), RuntimeError("no space left")])
def test_what_could_not_be_written_is_told_at_the_end(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path / "bag")
    write = BagWriter.write

    def full(bag: BagWriter, topic: str, received_ns: int, data: bytes) -> None:
        if received_ns == 2:
            raise error
        write(bag, topic, received_ns, data)

    monkeypatch.setattr(BagWriter, "write", full)
    assert all(recorded.write(number, size=30) for number in (1, 2, 3))
    recorded.bag.may_write.set()
    with pytest.raises(BagError, match="no space left"):
        recorded.thread.close()
    assert recorded.thread.waiting == 2
    assert messages(recorded.thread.path) == [(1, bytes([1]) * 30)]


def test_a_removed_folder_ends_the_writing(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "bag", flush_s=0.01)
    (path,) = recorded.thread.path.glob("*.mcap")
    path.unlink()
    recorded.thread.path.rmdir()
    recorded.wait_for_error()
    assert "No such file" in str(recorded.thread.error)


def test_a_type_without_a_definition_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ament_index_python", reason="needs ROS 2, or the [ros] extra")
    recorded = Recorded(tmp_path / "bag")
    with pytest.raises(BagError, match="no definition of"):
        recorded.thread.add_topic("/x", "nowhere_msgs/msg/Nothing", [])
    recorded.thread.close()
