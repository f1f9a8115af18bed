"""One policy, one file: safetensors with everything but the weights as JSON in its metadata.

Safetensors because loading it can run no code, and its header makes a torn file detectable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from samg_ros.errors import CheckpointError, SamgError, quoted
from samg_ros.io.atomic import replacing
from samg_ros.robot import PolicySpec

FORMAT = "samg_ros.policy"
FORMAT_VERSION = "2"
UNDIGESTED = "1"
"""Files of this version have no checksum; the next save adds it."""
Kind = Literal["student", "teacher", "drqv2"]
_DIGEST = "sha256"
LONGEST_SECTION = 1 << 20
"""Characters; a specification has a few thousand."""
_SECTIONS = ("network", "spec", "preprocessing", "record")

T = TypeVar("T")
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class TrainingRecord:
    """Where a checkpoint comes from.

    ``scores`` are success rates in [0, 1] by what was evaluated, or mean returns under names that
    end in ``return``; ``version`` is the package's.
    """

    command: str
    seed: int
    duration_s: float
    scores: Mapping[str, float]
    version: str


@dataclass(frozen=True)
class Checkpoint:
    """A policy as stored. ``network`` and ``preprocessing`` are the fields of the dataclasses
    that belong to ``kind``; :func:`build` turns them back into those."""

    kind: Kind
    network: Mapping[str, Any]
    spec: PolicySpec
    preprocessing: Mapping[str, Any]
    record: TrainingRecord
    weights: Mapping[str, Tensor]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path``; folders in between are made, a file there is replaced.

    :raises OutputError: the disk refuses it; what was there before still is.
    """
    weights = {name: tensor.contiguous() for name, tensor in checkpoint.weights.items()}
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": checkpoint.kind,
        "network": json.dumps(checkpoint.network),
        "spec": json.dumps(asdict(checkpoint.spec)),
        "preprocessing": json.dumps(checkpoint.preprocessing),
        "record": json.dumps(asdict(checkpoint.record)),
    }
    metadata[_DIGEST] = digest_of(metadata, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        # Not save_file: its files can be read by their owner alone, even once they are installed.
        temporary.write_bytes(save(weights, metadata))


def load_checkpoint(
    path: Path, *, kind: Kind | None = None, task: str | None = None
) -> Checkpoint:
    """Read a checkpoint and check that it is what the caller needs.

    :param kind: refuse every other kind. :param task: refuse every other task. None takes any.
    :raises CheckpointError: no such file, truncated or not a checkpoint, another format version,
        kind or task, or a section that is missing or incomplete.
    """
    metadata, weights = _read(path)
    _check_format(metadata, path)
    if metadata["format_version"] != UNDIGESTED and (
        metadata.get(_DIGEST) != digest_of(metadata, weights)
    ):
        raise CheckpointError(
            f"{path}: damaged: its content is not what its checksum says; fetch or train it again"
        )
    known = get_args(Kind) if kind is None else (kind,)
    if (held := metadata.get("kind")) not in known:
        raise CheckpointError(
            f"{path}: holds a {str(held)[:40]}, a {' or a '.join(known)} is needed"
        )
    sections = {name: _section(path, metadata, name) for name in _SECTIONS}
    spec = build(PolicySpec, sections["spec"], f"{path}: spec")
    if task is not None and spec.task != task:
        raise CheckpointError(f"{path}: was trained for task {spec.task!r}, not for {task!r}")
    record = build(TrainingRecord, sections["record"], f"{path}: record")
    return Checkpoint(
        cast(Kind, held), sections["network"], spec, sections["preprocessing"], record, weights
    )


def digest_of(metadata: Mapping[str, str], weights: Mapping[str, Tensor]) -> str:
    """sha256 over everything that a checkpoint says, as a hex digest."""
    digest = hashlib.sha256()
    for name in ("format", "format_version", "kind", *_SECTIONS):
        digest.update(f"{name}\0{metadata.get(name, '')}\0".encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()


def checkpoint_kind(path: Path) -> str:
    """What a checkpoint says that it holds. :raises CheckpointError: it cannot be read."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
    _check_format(metadata, path)
    return metadata.get("kind", "nothing that is named")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from its stored fields, strictly; JSON's lists become tuples again.

    Fields that have a default may be missing: they came after the file was written.

    :raises CheckpointError: a field is missing, unknown or of no use to ``cls``.
    """
    expected = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    needed = {field.name for field in fields(cls) if field.default is MISSING}  # type: ignore[arg-type]
    if missing := sorted(needed - values.keys()):
        raise CheckpointError(f"{where} lacks {', '.join(missing)}")
    if unknown := sorted(values.keys() - expected):
        raise CheckpointError(f"{where} has unknown {', '.join(unknown)}")
    hints = get_type_hints(cls)
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for name, value in given.items():
        if not _is_of(value, hints[name]):
            raise CheckpointError(f"{where}: {name} cannot be {quoted(value, 40)}")
    try:
        return cls(**given)
    except (TypeError, SamgError) as error:
        raise CheckpointError(f"{where} cannot be used: {error}") from error


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is of a type; numbers must be finite, texts printable."""
    kinds, inner = get_origin(hint), get_args(hint)
    if kinds is Literal:
        return value in inner
    if kinds in (Union, UnionType):
        return any(_is_of(value, kind) for kind in inner)
    if kinds is tuple:
        return isinstance(value, tuple) and all(_is_of(item, inner[0]) for item in value)
    if isinstance(kinds, type) and issubclass(kinds, Mapping):
        return isinstance(value, Mapping) and all(
            _is_of(key, inner[0]) and _is_of(item, inner[1]) for key, item in value.items()
        )
    if hint is float or hint is int:
        allowed = (int, float) if hint is float else (int,)
        return isinstance(value, allowed) and not isinstance(value, bool) and isfinite(value)
    if hint is str:
        return isinstance(value, str) and value.isprintable()
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint)


def build_network(make: Callable[[], N], checkpoint: Checkpoint, path: Path) -> N:
    """A network with the stored weights: every one, and no other.

    :param make: makes the network from the stored sizes. Nothing of those sizes is allocated
        before they are known to be the weights' own.
    :raises CheckpointError: names or shapes differ.
    """
    try:
        with torch.device("meta"):
            expected = {name: tuple(t.shape) for name, t in make().state_dict().items()}
    except (RuntimeError, ValueError, TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path}: network cannot be built: {quoted(error)}") from error
    stored = {name: tuple(tensor.shape) for name, tensor in checkpoint.weights.items()}
    if stored != expected:
        odd = min(n for n in {**stored, **expected} if stored.get(n) != expected.get(n))
        raise CheckpointError(
            f"{path}: weights do not fit the network: {quoted(odd)} is {stored.get(odd)}, needed "
            f"is {expected.get(odd)}"
        )
    if wrong := [n for n, t in checkpoint.weights.items() if not torch.isfinite(t).all()]:
        raise CheckpointError(f"{path}: the weights {quoted(wrong[0])} hold NaN or infinity")
    network = make()
    network.load_state_dict(dict(checkpoint.weights), strict=True)
    return network


def choose(shipped: dict[str, Path], task: str) -> Path:
    """The entry of ``task``.

    :raises CheckpointError: none ships; the message lists those that do.
    """
    if task not in shipped:
        raise CheckpointError(
            f"no checkpoint ships for task {task!r}; there is one for: "
            f"{', '.join(shipped) or 'no task'}. Train one with `samg train` and give its path"
        )
    return shipped[task]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A checkpoint's file, as safetensors opens it: it checks the length, and reads no tensor."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or not a checkpoint ({error})") from error


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with _opened(path) as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _check_format(metadata: Mapping[str, str], path: Path) -> None:
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a policy checkpoint of this package")
    if metadata.get("format_version") not in (FORMAT_VERSION, UNDIGESTED):
        told = str(metadata.get("format_version"))[:20]
        raise CheckpointError(
            f"{path}: format version {told}, this release reads "
            f"{UNDIGESTED} and {FORMAT_VERSION}: train it again or use the release that wrote it"
        )


def _section(path: Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    if name not in metadata:
        raise CheckpointError(f"{path}: lacks the section {name!r}")
    if len(metadata[name]) > LONGEST_SECTION:
        raise CheckpointError(f"{path}: section {name!r} is too long to be one")
    try:
        section = json.loads(metadata[name], parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: section {name!r} is not JSON ({error})") from error
    if not isinstance(section, dict):
        raise CheckpointError(f"{path}: section {name!r} is not a table")
    return section


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
