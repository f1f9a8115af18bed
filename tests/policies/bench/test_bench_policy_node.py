"""``samg bench policy --via-ros``: a node is started, answers everything, and is gone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness import private_environment

SAMG = "import sys; from samg_ros.cli import main; sys.exit(main())"


def test_a_policy_node_is_timed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--policies", "adroit_door", "--calls", "10", "--rounds", "1", "--via-ros"]
    # In a process of its own, since it moves to a domain of its own.
    with private_environment(tmp_path) as variables:
        command = [sys.executable, "-c", SAMG, "bench", "policy", *options, "--out", str(run)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (node,) = json.loads((run / "results.json").read_text())["nodes"]
    assert node["policy"] == "adroit_door"
    assert node["frames"] >= 200 > node["lost"], "as many as the node's own percentiles are of"
    assert 0 < node["inside_p50_ms"] <= node["inside_p95_ms"]
    # A message's way comes on top of the node's own time.
    assert node["inside_p50_ms"] < node["around_p50_ms"] <= node["around_p95_ms"]
    assert "in node" in done.stdout
