"""The page of all worlds, ``docs/worlds.md``: every task under every setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from samg_ros.io.atomic import replacing, write_text
from samg_ros.io.contact_sheet import draw_overlay, draw_sheet, encode_jpeg
from sim_bridge.cli.list import TaskFacts
from sim_bridge.perturbations.grammar import perturbations, supported
from sim_bridge.scenes.preview import name_of, previews, settings, with_clips
from sim_bridge.task import make_task

LARGEST = 700_000  # bytes of the picture
MASK_ROW = "none, the true mask"

_PAGE = """\
# The worlds

Every task under every setting, at the reset of one seed. `samg sim preview --all` makes this page
and its picture; `samg sim list TASK` tells a task's joints, limits and units, and
`samg sim preview TASK --perturb A B` shows what you want to see. Fields are grey where a task has
nothing that the setting could change.
{clips}

![every task under every setting](worlds.jpg)

## Tasks

{tasks}

## Settings

Written as `--perturb TERM,TERM`; each may end in `@SEED`.

{settings}
"""
_PHOTOS = "Where clips are shown, the photographs that come with scikit-image stand in."
_CLIPS = "The clips shown are from a folder of the maker's own."


def draw_worlds(
    names: Sequence[str], clips: Path, seed: int, size: int, say: Callable[[str], None]
) -> np.ndarray:
    """A column for each task, a row for each setting.

    :param clips: folder of what the settings with clips show. :param size: side of a picture, px.
    :param say: called with the task that is drawn.
    :return: uint8 [H, W, 3].
    """
    shown = settings()
    rows = ["none", MASK_ROW, *shown[1:]]
    columns = []
    for name in names:
        say(name)
        pictures = _pictures(name, [s for s in shown if _suits(s, name)], clips, seed, size)
        columns.append([pictures.get(row) for row in rows])
    return draw_sheet(names, rows, list(zip(*columns, strict=True)))


def worlds_page(facts: Sequence[TaskFacts], *, own_clips: bool) -> str:
    """The page as Markdown. :param own_clips: the picture shows clips that were given."""
    return _PAGE.format(
        clips=_CLIPS if own_clips else _PHOTOS,
        tasks=_tasks_table(facts),
        settings=_settings_table([one.name for one in facts]),
    )


def write_worlds(page: str, sheet: np.ndarray, folder: Path) -> tuple[Path, Path]:
    """:return: the page's file and the picture's.

    :raises ImageError: the picture is too large. :raises OutputError: the disk refuses it.
    """
    text, picture = folder / "worlds.md", folder / "worlds.jpg"
    with replacing(picture) as temporary:
        temporary.write_bytes(encode_jpeg(sheet, LARGEST))
    write_text(text, page)
    return text, picture


def _pictures(
    name: str, shown: Sequence[str], clips: Path, seed: int, size: int
) -> dict[str, np.ndarray]:
    task = make_task(name, height=size, width=size)
    try:
        texts = {setting: with_clips(setting, clips) for setting in shown}
        frames = {one.label: one.frame for one in previews(task, texts, [seed])}
    finally:
        task.close()
    pictures = {label: frame.rgb for label, frame in frames.items()}
    clean = frames["none"]
    return pictures | {MASK_ROW: draw_overlay(clean.rgb, clean.targets > 0)}


def _suits(setting: str, task: str) -> bool:
    return setting == "none" or name_of(setting) in supported(task)


def _tasks_table(facts: Sequence[TaskFacts]) -> str:
    lines = [
        "| task | actions | control | episode | cameras | targets | judged by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in facts:
        cameras = ", ".join(f"**{c}**" if c == one.default_camera else c for c in one.cameras)
        cells = (
            f"`{one.name}`",
            f"{len(one.actions)}, {one.command_mode}",
            f"{one.control_rate_hz:g} Hz",
            f"{one.episode_steps} steps, {one.episode_s:g} s",
            cameras,
            ", ".join(one.targets),
            "success, return" if one.has_success else "return",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _settings_table(names: Sequence[str]) -> str:
    lines = ["| term | | tasks |", "| --- | --- | --- |"]
    for perturbation in perturbations.names():
        kind = perturbations.get(perturbation)
        fit = [name for name in names if perturbation in supported(name)]
        others = [name for name in names if name not in fit]
        fewest = "all" if not others else f"all but {', '.join(others)}"
        tasks = ", ".join(fit) if len(fit) <= len(others) else fewest
        term = f"{perturbation}{kind.argument}".replace("|", "\\|")
        lines.append(f"| `{term}` | {kind.shows} | {tasks} |")
    return "\n".join(lines)
