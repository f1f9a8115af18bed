"""The queue between the thread that receives frames and the one that masks them."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from samg_ros.nodes import masker_queue
from samg_ros.nodes.masker_queue import FrameQueue

# A wait that no test sits out: whoever began it would run into the deadline of `finished`.
FOREVER_S = 3600.0
DEADLINE_S = 30.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The queue's clock, which stands where the test puts it."""
    now = [0.0]
    monkeypatch.setattr(masker_queue, "monotonic", lambda: now[0])
    return now


class Taker(threading.Thread):
    """Takes batches in a thread until the queue is closed."""

    def __init__(self, queue: FrameQueue, max_batch: int = 4, max_wait_s: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._take = lambda: queue.take(max_batch, max_wait_s)
        self.batches: list[list[tuple[str, int]]] = []
        self.took = threading.Semaphore(0)
        self.start()

    def run(self) -> None:
        while batch := self._take():
            self.batches.append(batch)
            self.took.release()

    def wait(self) -> list[tuple[str, int]]:
        """The next batch."""
        assert self.took.acquire(timeout=DEADLINE_S), "nothing was taken"
        return self.batches[-1]

    def finished(self) -> None:
        self.join(DEADLINE_S)
        assert not self.is_alive(), "still waits for frames"


class TestNewestFrame:
    def test_takes_the_place_of_the_one_that_waits(self):
        queue: FrameQueue[int] = FrameQueue(2)
        assert [queue.put("left", number) for number in (1, 2, 3)] == [False, True, True]
        assert queue.put("right", 4) is False
        assert queue.take(2, 0.0) == [("left", 3), ("right", 4)]

    def test_is_not_counted_as_dropped_when_the_other_was_taken(self):
        queue: FrameQueue[int] = FrameQueue(1)
        for number in range(3):
            assert queue.put("left", number) is False
            assert queue.take(1, 0.0) == [("left", number)]


class TestOrder:
    def test_first_come_first_served_then_by_turns(self):
        queue: FrameQueue[int] = FrameQueue(3)
        for camera in ("b", "c", "a"):
            queue.put(camera, 0)
        queue.put("b", 1)  # newer, in the same place
        assert queue.take(2, 0.0) == [("b", 1), ("c", 0)]
        queue.put("c", 2)
        queue.put("b", 2)
        assert queue.take(2, 0.0) == [("a", 0), ("b", 2)]
        assert queue.take(2, 0.0) == [("c", 2)]

    def test_no_camera_starves_under_backlog(self):
        """Every camera sends between any two batches, and only two of five fit one."""
        cameras = "abcde"
        queue: FrameQueue[int] = FrameQueue(len(cameras))
        served: Counter[str] = Counter()
        dropped = 0
        for number in range(50):
            dropped += sum(queue.put(camera, number) for camera in cameras)
            batch = queue.take(2, FOREVER_S)
            assert [frame for _, frame in batch] == [number, number]
            served.update(camera for camera, _ in batch)
        assert served == Counter(dict.fromkeys(cameras, 20))
        assert dropped + served.total() + len(queue.close()) == 50 * len(cameras)


class TestWaiting:
    def test_ends_at_once_when_every_camera_has_a_frame(self):
        queue: FrameQueue[int] = FrameQueue(2)
        taker = Taker(queue, max_batch=4, max_wait_s=FOREVER_S)
        queue.put("left", 1)
        queue.put("right", 2)
        assert taker.wait() == [("left", 1), ("right", 2)]
        queue.close()
        taker.finished()

    def test_ends_at_once_when_the_batch_is_full(self):
        queue: FrameQueue[int] = FrameQueue(3)
        queue.put("a", 1)
        queue.put("b", 2)
        taker = Taker(queue, max_batch=2, max_wait_s=FOREVER_S)
        assert taker.wait() == [("a", 1), ("b", 2)]
        queue.close()
        taker.finished()

    def test_ends_when_the_time_is_up(self):
        queue: FrameQueue[int] = FrameQueue(2)
        queue.put("left", 1)
        assert queue.take(2, 0.02) == [("left", 1)]

    def test_is_counted_from_the_frames_arrival(self, clock: list[float]):
        """While the last batch was masked, the frame has waited long enough."""
        queue: FrameQueue[int] = FrameQueue(2)
        queue.put("left", 1)
        clock[0] = FOREVER_S / 2
        queue.put("left", 2)
        clock[0] = FOREVER_S
        taker = Taker(queue, max_batch=2, max_wait_s=FOREVER_S)
        assert taker.wait() == [("left", 2)]
        queue.close()
        taker.finished()

    def test_for_the_first_frame_has_no_end(self):
        queue: FrameQueue[int] = FrameQueue(1)
        taker = Taker(queue, max_wait_s=0.0)
        taker.join(0.05)
        assert taker.is_alive() and not taker.batches
        queue.put("left", 1)
        assert taker.wait() == [("left", 1)]
        queue.close()
        taker.finished()


class TestClosing:
    @pytest.mark.parametrize("waiting", [0, 1], ids=["for the first", "for the others"])
    def test_wakes_who_waits(self, waiting: int):
        queue: FrameQueue[int] = FrameQueue(2)
        for number in range(waiting):
            queue.put("left", number)
        taker = Taker(queue, max_batch=2, max_wait_s=FOREVER_S)
        assert queue.close() == [("left", 0)][:waiting]
        taker.finished()
        assert not taker.batches

    def test_is_for_good(self):
        queue: FrameQueue[int] = FrameQueue(1)
        queue.close()
        assert queue.put("left", 1) is True
        assert queue.take(1, FOREVER_S) == [] and queue.close() == []


def test_frames_of_many_threads():
    """What was put is taken, dropped or left, once, and each camera's frames keep their order."""
    cameras, frames = "abcd", 300
    queue: FrameQueue[int] = FrameQueue(len(cameras))
    taker = Taker(queue, max_batch=3, max_wait_s=0.0)
    dropped: Counter[str] = Counter()

    def send(camera: str) -> None:
        dropped[camera] = sum(queue.put(camera, number) for number in range(frames))

    senders = [threading.Thread(target=send, args=(camera,)) for camera in cameras]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(DEADLINE_S)
    left = queue.close()
    taker.finished()
    assert all(1 <= len(batch) <= 3 for batch in taker.batches)
    kept = [pair for batch in [*taker.batches, left] for pair in batch]
    for camera in cameras:
        numbers = [number for name, number in kept if name == camera]
        assert len(numbers) + dropped[camera] == frames
        assert numbers == sorted(set(numbers)) and numbers[-1] == frames - 1
