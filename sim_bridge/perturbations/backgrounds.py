"""Moving pictures to be shown behind a task, and how they are put there."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from samg_ros.errors import ConfigError, ImageError
from samg_ros.images import check_size, size_of
from sim_bridge.perturbations.textures import SIZE, random_texture, smooth_field


class Background(Protocol):
    """An endless moving picture; what it shows depends on the seed and the index alone."""

    def reset(self, seed: int) -> None:
        """Choose a new picture, video or texture.

        :raises ImageError: its file cannot be read.
        """
        ...

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        """:param index: time step, from 0. :return: uint8 [height, width, 3] RGB."""
        ...


def composite(rgb: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Put the foreground of one picture before another.

    :param rgb: uint8 [H, W, 3]. :param foreground: bool [H, W], True where ``rgb`` is kept.
    :param background: uint8 [H, W, 3].
    :return: uint8 [H, W, 3], a new array.
    :raises ImageError: the shapes do not agree.
    """
    if not rgb.shape[:2] == foreground.shape == background.shape[:2]:
        raise ImageError(
            f"cannot composite a picture of shape {rgb.shape} with a mask of shape "
            f"{foreground.shape} on a background of shape {background.shape}: sizes must agree"
        )
    # 20 times faster than np.where, which spreads the mask over the channels first.
    return cv2.copyTo(rgb, foreground.view(np.uint8), background.copy())


log = logging.getLogger("samg_ros")

_PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
_VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
# Photographs that lie in scikit-image's wheel; its other pictures are downloaded, or synthetic.
_PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
_PAN_MARGIN = 1.25  # a picture covers the frame this many times over, which leaves room to pan
_WHOLE = 0.9  # of the frames that a video's header gives, which may be estimated from its length
_LEAST_SIDE = 8  # px
_LONGEST_SHAPE = 16  # else it would be scaled to gigabytes before it covers a frame
_PAN_PERIOD = 120  # steps of one sweep there and back


class MediaBackground:
    """Draws one of ``files`` at each reset: a video plays and wraps, a picture pans slowly.

    :param files: pictures and videos, distinguished by their suffix.
    :raises ImageError: one of them is of no kind that can be read; said now, not at the reset
        that draws it.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        for file in files:
            _check(file)
        self._clip: _Picture | _Video | None = None

    def reset(self, seed: int) -> None:
        """:raises ImageError: the drawn file cannot be read any more."""
        rng = np.random.default_rng(seed)
        file = self._files[rng.integers(len(self._files))]
        self._clip = _Video(file) if _is_video(file) else _Picture(file, phase=rng.uniform(size=2))

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        """:return: uint8 [height, width, 3]. :raises ImageError: unreadable, or never reset."""
        if self._clip is None:
            raise ImageError("no background is chosen yet; call reset(seed) first")
        return self._clip.frame(index, height, width)


def photos() -> MediaBackground:
    """The photographs that come with scikit-image; nothing is downloaded.

    :raises ConfigError: scikit-image is not installed. :raises ImageError: a picture is missing.
    """
    return MediaBackground(photo_files())


def photo_files() -> list[Path]:
    """The files of :func:`photos`. :raises ConfigError: scikit-image is not installed."""
    try:
        from skimage.data import data_dir
    except ImportError as error:
        raise ConfigError("perturbation 'photos' needs scikit-image: pip install it") from error
    return [Path(data_dir) / name for name in _PHOTOS]


def folder(path: Path) -> MediaBackground:
    """The pictures and videos directly in ``path``.

    :raises ConfigError: there are none. :raises ImageError: one of them cannot be read.
    """
    try:
        found = sorted(path.iterdir())
    except OSError as error:
        raise ConfigError(f"the folder {path} cannot be read: {error.strerror}") from error
    files = [file for file in found if file.suffix.lower() in _PICTURES | _VIDEOS]
    if not files:
        suffixes = " ".join(sorted(_PICTURES | _VIDEOS))
        raise ConfigError(f"no pictures or videos in folder {path} ({suffixes})")
    return MediaBackground(files)


def _is_video(file: Path) -> bool:
    return file.suffix.lower() in _VIDEOS


def _check(file: Path) -> None:
    """:raises ImageError: not a picture or video that OpenCV can read."""
    if _is_video(file):
        _Video(file)
        return
    size = size_of(file)
    if size is None or not cv2.haveImageReader(str(file)):
        raise ImageError(_unreadable("picture", file))
    try:
        check_size(file)
    except ImageError as error:
        raise ImageError(f"the background picture {file}: {error}") from error
    if min(size) < _LEAST_SIDE or max(size) > _LONGEST_SHAPE * min(size):
        raise ImageError(
            f"the background picture {file} is {size[0]}x{size[1]}: it needs {_LEAST_SIDE} pixels "
            f"a side, and one side at most {_LONGEST_SHAPE} times the other"
        )


def _unreadable(kind: str, file: Path) -> str:
    return f"cannot read the background {kind} {file}: remove or replace it"


class _Picture:
    """A still seen through a window that swings about its middle."""

    def __init__(self, file: Path, phase: np.ndarray) -> None:
        _check(file)
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ImageError(_unreadable("picture", file))
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        self._original, self._scaled, self._phase = image, image, phase
        self._size = (0, 0)

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        if self._size != (height, width):
            self._scaled, self._size = _cover(self._original, height, width), (height, width)
        top, left = (
            round(room / 2 * (1 + math.sin(2 * math.pi * (index / period + phase))))
            for room, phase, period in zip(
                (self._scaled.shape[0] - height, self._scaled.shape[1] - width),
                self._phase,
                (_PAN_PERIOD * math.sqrt(2), _PAN_PERIOD),  # never the same path twice
                strict=True,
            )
        )
        return self._scaled[top : top + height, left : left + width].copy()


def _cover(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale so that the picture is at least ``_PAN_MARGIN`` times as large as the frame."""
    scale = _PAN_MARGIN * max(height / image.shape[0], width / image.shape[1])
    size = (math.ceil(image.shape[1] * scale), math.ceil(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


class _Video:
    """Frames by index, decoded in order; going back starts the file again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._open()
        # What the header says may be too much, or missing; reading finds the true end.
        told = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._count = told if told > 0 else sys.maxsize
        self._read(0)

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        self._read(index)
        # Bilinear, as DMC-GB (arXiv 2011.13389) shows its clips.
        return cv2.resize(self._image, (width, height), interpolation=cv2.INTER_LINEAR)

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(str(self._file))
        self._position = -1

    def _read(self, index: int) -> None:
        """Decode frame ``index`` (wrapped), unless it is the one held."""
        wanted = index % self._count
        if wanted < self._position:
            self._open()
        while self._position < wanted:
            good, image = self._capture.read()
            if not good:
                self._end_early(index)
                return
            self._position += 1
            self._image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _end_early(self, index: int) -> None:
        if self._position < 0:
            raise ImageError(_unreadable("video", self._file))
        shown, told = self._position + 1, self._count
        if told < sys.maxsize and shown < _WHOLE * told:
            log.warning(
                "%s ends after %d of %d frames and begins again there: is it damaged?",
                self._file,
                shown,
                told,
            )
        self._count = shown
        self._read(index)


class NoiseBackground:
    """Two drifting textures, one seen through the holes of the other, whose colours drift too.

    Everything is drawn at the reset, so that a frame costs a crop, a resize and a blend.
    """

    def __init__(self) -> None:
        self._layers: list[_Layer] = []

    def reset(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._layers = [_Layer(rng, random_texture(rng)) for _ in range(2)]
        hardness = rng.choice([2.0, 60.0])  # soft holes or cut-outs
        field = smooth_field(rng, rng.uniform(1.5, 2.5)) - rng.uniform(0.3, 0.7)
        holes = 127.5 * (1 + np.tanh(hardness * field))
        self._holes = _Layer(rng, holes.astype(np.uint8))
        self._tint = rng.uniform(-40, 40, 3)
        self._tint_period = rng.uniform(40, 200)  # steps

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        """:return: uint8 [height, width, 3]. :raises ImageError: never reset."""
        if not self._layers:
            raise ImageError("no background is chosen yet; call reset(seed) first")
        front, back = (layer.frame(index, height, width) for layer in self._layers)
        weight = self._holes.frame(index, height, width).astype(np.float32) / 255
        mixed = cv2.blendLinear(front, back, weight, 1 - weight)
        swing = math.sin(2 * math.pi * index / self._tint_period)
        tint = np.append(swing * self._tint, 0.0)  # cv2 adds a scalar of four channels to each
        return cv2.add(mixed, tint)


class _Layer:
    """A tileable texture seen through a moving window of fixed size.

    :param texture: uint8 [SIZE, SIZE] or [SIZE, SIZE, 3].
    """

    def __init__(self, rng: np.random.Generator, texture: np.ndarray) -> None:
        # Twice in each direction, so that a window is one slice wherever it begins.
        self._tiled = (
            np.tile(texture, (2, 2, 1)) if texture.ndim == 3 else np.tile(texture, (2, 2))
        )
        self._window = int(rng.integers(SIZE // 4, SIZE + 1))
        self._start = rng.uniform(0, SIZE, 2)
        self._velocity = rng.uniform(-2, 2, 2)  # texture pixels a step

    def frame(self, index: int, height: int, width: int) -> np.ndarray:
        top, left = ((self._start + index * self._velocity) % SIZE).astype(int)
        crop = self._tiled[top : top + self._window, left : left + self._window]
        return cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
