"""What ``--help`` imports: options only, since torch alone takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "cv2", "mujoco", "rclpy", "transformers", "numpy", "scipy", "matplotlib")
COMMANDS = (
    "",
    "bench",
    "bench masker",
    "bench masks",
    "bench policy",
    "bench sim",
    "demo",
    "eval",
    "eval report",
    "mask",
    "models",
    "node",
    "policies",
    "reference",
    "reference clicks",
    "reference files",
    "reference sim",
    "sim",
    "sim list",
    "sim preview",
    "train",
    "train drqv2",
    "train student",
    "train teacher",
    "weights",
    "weights fetch",
)
SCRIPT = """
import contextlib, io, json, sys
from samg_ros.cli import main
out = io.StringIO()
status = 0
with contextlib.redirect_stdout(out):
    try:
        status = main([*sys.argv[1].split(), "--help"])
    except SystemExit as end:
        status = end.code
print(json.dumps([status or 0, out.getvalue(), sorted(sys.modules)]))
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c or "samg")
def test_help_imports_nothing_heavy(command: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, command], capture_output=True, text=True, check=True
    )
    status, text, modules = json.loads(told.stdout)
    assert status == 0 and f"samg {command}".strip() in text
    assert not set(HEAVY) & set(modules)


@pytest.mark.parametrize("package", ["samg_ros", "sim_bridge", "policies"])
def test_a_package_imports_nothing_heavy(package: str) -> None:
    script = f"import {package}, sys; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert not set(HEAVY) & set(told.stdout.decode().split())
