"""``make fuzz``: mutated files, texts and messages at every boundary where they enter.

Each input ends as *right* (it was read), *error* (one of ours), or as what must not be: *foreign*
(another exception), *wrong* (read, and not what it may be) or *memory* (over 2 GB). What fails is
kept in a folder, with its seed. Bounded and seeded:

    python -m tests.fuzz --seconds 600 --seed 0
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from samg_ros.errors import SamgError
from tests.fuzz.boundaries import BOUNDARIES, Boundary

CLEAR = Path("/proc/self/clear_refs")
MOST_KIB = 2 * 1024 * 1024
BAD = ("foreign", "wrong", "memory")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bits, bytes, lengths or pieces of it changed."""
    changed = bytearray(data)
    for _ in range(1 + rng.geometric(0.4)):
        if not changed:
            return bytes(changed)
        at, length = int(rng.integers(len(changed))), int(rng.integers(1, 9))
        kind = rng.integers(7)
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at : at + length] = rng.bytes(length)
        elif kind == 2:
            del changed[at : at + int(rng.integers(1, 2 + len(changed) // 2))]
        elif kind == 3:
            changed[at:at] = changed[at : at + length * 8]
        elif kind == 4:
            changed[at : at + length] = b"\xff" * length
        elif kind == 5:
            changed[at : at + length] = b"\x00" * length
        else:
            changed = changed[: at + 1]
    return bytes(changed)


def peak_kib() -> int:
    """What this process has held at most since the peak was last forgotten. Linux alone."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]


def outcome(boundary: Boundary, data: bytes, folder: Path) -> tuple[str, str]:
    """What becomes of one input, and why."""
    CLEAR.write_text("5")  # forgets the peak
    before = peak_kib()
    try:
        complaint = boundary.read(data, folder)
    except SamgError as error:
        text = str(error)
        return ("error", "") if len(text) < 2000 else ("wrong", "a message of 2,000 characters")
    except MemoryError:
        return "memory", "MemoryError"
    except Exception:
        return "foreign", traceback.format_exc()
    if peak_kib() - before > MOST_KIB:
        return "memory", "over 2 GB"
    return ("wrong", complaint) if complaint else ("right", "")


def main() -> int:
    """:return: 0 where nothing was foreign, wrong or too large."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("names", nargs="*", default=sorted(BOUNDARIES), help="boundaries")
    given = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in given.names:
            share_s = given.seconds / len(given.names)
            counts[name] = fuzz(name, given.seed, share_s, Path(place), given.out, print)
    return int(any(count[bad] for count in counts.values() for bad in BAD))


def fuzz(
    name: str, seed: int, seconds: float, folder: Path, out: Path, say: Callable[[str], object]
) -> Counter[str]:
    """Mutate one boundary's seeds for a while. :return: how many inputs ended how."""
    boundary, rng = BOUNDARIES[name], np.random.default_rng(seed)
    seeds = boundary.seeds(folder)
    counted: Counter[str] = Counter()
    for data in seeds:
        counted[outcome(boundary, data, folder)[0]] += 1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(seeds[int(rng.integers(len(seeds)))], rng)
        kind, why = outcome(boundary, data, folder)
        counted[kind] += 1
        if kind in BAD:
            out.mkdir(parents=True, exist_ok=True)
            path = out / f"{name}_{seed}_{sum(counted.values())}_{kind}"
            path.write_bytes(data)
            path.with_suffix(".txt").write_text(why)
            if counted[kind] <= 3:
                say(f"{name}: {kind}, kept as {path}: {why.strip().splitlines()[-1][:200]}")
    total = sum(counted.values())
    say(f"{name:<14} {total:>7} inputs: " + ", ".join(f"{k} {n}" for k, n in counted.items()))
    return counted


if __name__ == "__main__":
    sys.exit(main())
