"""``samg sim preview``: pictures of tasks under perturbations, with their true masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from samg_ros.errors import ConfigError, ImageError
from samg_ros.io.atomic import replacing
from samg_ros.parameters import documented, parameter, validate

if TYPE_CHECKING:
    import numpy as np

SIZE = 160
WORLDS_SIZE = 96


@documented
@dataclass(frozen=True)
class PreviewOptions:
    """What the contact sheet shows."""

    all: bool = parameter(
        False,
        "every task under every setting, as worlds.md and worlds.jpg; uses seeds, size, videos "
        "and out alone",
    )
    perturb: tuple[str, ...] = parameter(
        ("none",),
        "perturbations to show, such as none camera_pose=hard photos,light_color=medium; the "
        "folder of clips may be left out",
    )
    seeds: tuple[int, ...] = parameter((0,), "seeds of the episodes; --all takes the first")
    step: int = parameter(
        0, "control step that is shown, reached by the task's teacher or random actions", low=0
    )
    camera: str = parameter("", "camera; empty takes each task's default")
    size: int = parameter(
        0,
        f"side of a picture; 0 takes {SIZE}, with --all {WORLDS_SIZE}",
        unit="px",
        low=0,
        high=2048,
    )
    shadows: bool = parameter(False, "render shadows and reflections")
    videos: str = parameter(
        "",
        "folder for perturbations with clips that name none; empty takes scikit-image's "
        "photographs",
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
        if self.videos and not _can_be_named(self.videos):
            raise ConfigError(
                f"the path {self.videos!r} holds a comma or ends like @7, which means something "
                "else in a perturbation; give the folder another name"
            )


def _can_be_named(folder: str) -> bool:
    from sim_bridge.scenes.preview import can_be_named

    return can_be_named(folder)


def preview(
    tasks: Positional[tuple[str, ...]] = (), /, *, options: OmitArgPrefixes[PreviewOptions]
) -> None:
    """A contact sheet: each task and seed a row, each perturbation a column with its true mask.

    :param tasks: tasks to show; with --all, all where none is named.
    """
    import cv2
    import numpy as np
    from rich.console import Console

    tasks = tuple(dict.fromkeys(tasks))
    if options.all:
        _preview_all(tasks, options)
        return
    if not tasks:
        raise ConfigError("name the tasks to preview, or --all (samg sim list names them)")
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
    import numpy as np
    from rich.console import Console

    from samg_ros.io.contact_sheet import draw_overlay, draw_sheet
    from sim_bridge.experts.state import make_expert
    from sim_bridge.perturbations.grammar import make_perturbation
    from sim_bridge.scenes.preview import clip_folder, previews, with_clips
    from sim_bridge.task import make_task

    size = options.size or SIZE
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
                experts = partial(make_expert, name, task.spec.action_size)
                for one in previews(
                    task,
                    texts,
                    seeds,
                    step=options.step,
                    experts=experts if options.step else None,
                    camera=options.camera or None,
                ):
                    overlay = draw_overlay(one.frame.rgb, one.frame.targets > 0)
                    row = rows.setdefault(f"{name} seed {one.seed}", [])
                    row.append(np.hstack([one.frame.rgb, overlay]))
            finally:
                task.close()
    return draw_sheet(tuple(texts), list(rows), list(rows.values()))


def _preview_all(names: Sequence[str], options: PreviewOptions) -> None:
    from rich.console import Console

    from sim_bridge.cli.list import look
    from sim_bridge.cli.worlds import draw_worlds, worlds_page, write_worlds
    from sim_bridge.scenes.preview import clip_folder

    facts = look(names)
    console = Console()
    with clip_folder(options.videos) as clips, Console(stderr=True).status("worlds") as status:
        sheet = draw_worlds(
            [one.name for one in facts],
            clips,
            options.seeds[0],
            options.size or WORLDS_SIZE,
            status.update,
        )
    page = worlds_page(facts, own_clips=bool(options.videos))
    for path in write_worlds(page, sheet, Path(options.out or "docs").expanduser()):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
