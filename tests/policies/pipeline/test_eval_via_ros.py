"""``samg eval --via-ros``: the nodes' episodes are those of ``samg eval``, and are kept once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness import private_environment

from policies.episode import EpisodeRecord
from policies.eval.folder import read_episodes
from policies.pipeline import evaluate
from samg_ros.cli import main

SAMG = "import sys; from samg_ros.cli import main; sys.exit(main())"
OPTIONS = ("eval", "--masks", "oracle", "--perturb", "photos", "--episodes", "2", "--envs", "2")


def by_seed(folder: Path) -> list[EpisodeRecord]:
    return sorted(read_episodes(folder), key=lambda record: record.seed)


def test_nodes_give_the_same_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, process = tmp_path / "nodes", tmp_path / "process"
    # In a process of its own, since it moves to a domain of its own.
    with private_environment(tmp_path) as variables:
        arguments = [*OPTIONS, "--via-ros", "--out", str(nodes)]
        command = [sys.executable, "-c", SAMG, *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert main([*OPTIONS, "--out", str(process)]) == 0
    through, direct = by_seed(nodes), by_seed(process)
    assert [record.seed for record in through] == [0, 1]
    for one, other in zip(through, direct, strict=True):
        assert (one.episode, one.success, one.steps) == (other.episode, other.success, other.steps)
        # The bridge tells six digits; a single other command would change more than the last.
        assert one.episode_return == pytest.approx(other.episode_return, rel=2e-6)
    assert through[0].success is True and through[0].episode_return != through[1].episode_return

    # What was recorded counts, though the process was killed before it could keep it.
    file = nodes / "episodes.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("")
    monkeypatch.setattr(evaluate, "_record", never)
    assert main([*OPTIONS, "--via-ros", "--out", str(nodes)]) == 0
    assert file.read_text().splitlines() == lines
    assert json.loads((nodes / "results.json").read_text())["problems"] == []


def never(*_: object) -> None:
    raise AssertionError("nothing is left to be run")
