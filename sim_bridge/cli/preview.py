"""``samg sim preview``: pictures of tasks under perturbations, with their true masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional

from samg_ros.errors import ConfigError, ImageError
from samg_ros.io.atomic import replacing, write_text
from samg_ros.io.contact_sheet import draw_overlay, draw_sheet, encode_jpeg
from samg_ros.parameters import documented, parameter, validate
from sim_bridge.cli.list import TaskFacts, look
from sim_bridge.perturbations.grammar import make_perturbation, perturbations, supported
from sim_bridge.scenes.preview import (
    can_be_named,
    clip_folder,
    name_of,
    previews,
    settings,
    with_clips,
)
from sim_bridge.task import make_task

SIZE = 96
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
    :param say: is told which task is drawn.
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


PREVIEW_SIZE = 160


@documented
@dataclass(frozen=True)
class PreviewOptions:
    """What the contact sheet shows."""

    all: bool = parameter(
        False,
        "every task under every setting, as worlds.md and worlds.jpg; heeds seeds, size, videos "
        "and out alone",
    )
    perturb: tuple[str, ...] = parameter(
        ("none",),
        "looks to show, such as none camera_pose=hard photos,light_color=medium; a clip's folder "
        "may be left out",
    )
    seeds: tuple[int, ...] = parameter((0,), "seeds of the episodes; --all takes the first")
    step: int = parameter(
        0, "control step that is shown, reached by the task's teacher or random actions", low=0
    )
    camera: str = parameter("", "camera; empty takes each task's default")
    size: int = parameter(
        0,
        f"side of a picture; 0 takes {PREVIEW_SIZE}, with --all {SIZE}",
        unit="px",
        low=0,
        high=2048,
    )
    shadows: bool = parameter(False, "render shadows and reflections")
    videos: str = parameter(
        "", "folder for looks with clips that name none; empty takes scikit-image's photographs"
    )
    out: str = parameter(
        "", "picture to write, .png or .jpg ('preview.png'); with --all a folder ('docs')"
    )

    def __post_init__(self) -> None:
        validate(self)
        if not self.seeds or not self.perturb:
            raise ConfigError("seeds and perturb must each name at least one")
        if self.videos and not Path(self.videos).expanduser().is_dir():
            raise ConfigError(f"no folder {self.videos!r} of videos")
        if self.videos and not can_be_named(self.videos):
            raise ConfigError(
                f"the path {self.videos!r} holds a comma or ends like @7, which means something "
                "else in a look; give the folder another name"
            )


def preview(
    tasks: Positional[tuple[str, ...]] = (), /, *, options: OmitArgPrefixes[PreviewOptions]
) -> None:
    """A contact sheet: each task and seed a row, each look a column of picture and true mask.

    :param tasks: tasks to show; with --all, all where none is named.
    """
    tasks = tuple(dict.fromkeys(tasks))
    if options.all:
        _preview_all(tasks, options)
        return
    if not tasks:
        raise ConfigError("name the tasks to preview, or --all (samg sim list tells which)")
    out = Path(options.out or "preview.png").expanduser()
    if not cv2.haveImageWriter(str(out)):
        raise ConfigError(f"cannot write {out}: name a .png or .jpg with --out")
    sheet = _sheet(tasks, options)
    with replacing(out) as temporary:
        if not cv2.imwrite(str(temporary), np.ascontiguousarray(sheet[..., ::-1])):
            raise ImageError(f"cannot write {out}")
    Console().print(f"wrote {out}", highlight=False, soft_wrap=True)


def _sheet(names: Sequence[str], options: PreviewOptions) -> np.ndarray:
    """:return: uint8 [H, W, 3]."""
    from sim_bridge.experts.state import make_mover

    size = options.size or PREVIEW_SIZE
    seeds = tuple(dict.fromkeys(options.seeds))
    rows: dict[str, list[np.ndarray | None]] = {}
    with clip_folder(options.videos) as clips, Console(stderr=True).status("tasks") as status:
        texts = {text: with_clips(text, clips) for text in options.perturb}
        for name in names:
            for text in texts.values():
                make_perturbation(text, name)  # refused before anything is made
        for name in names:
            status.update(name)
            task = make_task(name, height=size, width=size, shadows=options.shadows)
            try:
                movers = partial(make_mover, name, task.spec.action_size)
                for one in previews(
                    task,
                    texts,
                    seeds,
                    step=options.step,
                    movers=movers if options.step else None,
                    camera=options.camera or None,
                ):
                    overlay = draw_overlay(one.frame.rgb, one.frame.targets > 0)
                    row = rows.setdefault(f"{name} seed {one.seed}", [])
                    row.append(np.hstack([one.frame.rgb, overlay]))
            finally:
                task.close()
    return draw_sheet(tuple(texts), list(rows), list(rows.values()))


def _preview_all(names: Sequence[str], options: PreviewOptions) -> None:
    facts = look(names)
    console = Console()
    with clip_folder(options.videos) as clips, Console(stderr=True).status("worlds") as status:
        sheet = draw_worlds(
            [one.name for one in facts],
            clips,
            options.seeds[0],
            options.size or SIZE,
            status.update,
        )
    page = worlds_page(facts, own_clips=bool(options.videos))
    for path in write_worlds(page, sheet, Path(options.out or "docs").expanduser()):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
