"""What a pretrained checkpoint is. Facts only: nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.models.sources.spec import Source

MB = 1_000_000


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights and where they come from.

    :param name: key in the table and on the command line.
    :param role: ``segmenter`` or ``features``.
    :param file_name: name in the cache folder.
    :param sources: where to fetch it from, in order.
    :param default: fetched by a bare ``samg weights fetch``.
    :param feature_layer: taken for a file of unknown origin; the official model's layer.
    """

    name: str
    title: str
    role: str
    licence: str
    file_name: str
    sources: tuple[Source, ...]
    default: bool = False
    feature_layer: int | None = None
