"""Weights from the Hugging Face hub, by its own library.

How long a hub that cannot be used holds things up: the first question has :data:`ANSWER_S` seconds
to connect and as many for the answer. A transfer from which nothing arrives is given up after six
times ``HF_HUB_DOWNLOAD_TIMEOUT`` (10 s), since the library tries five times more. Three things are
beyond its settings: a name server that hangs costs as long as the system's resolver waits; a
server that sends a part and drops the connection is asked for the rest as long as each time some
more arrives; and the accelerated transfer (the package ``hf_xet``) keeps its own times, which
``HF_HUB_DISABLE_XET=1`` avoids.
"""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path

from samg_ros.io.atomic import sha256_of
from samg_ros.weights.sources.spec import (
    CorruptDownloadError,
    Fetched,
    HubSource,
    Log,
    SourceError,
)

ANSWER_S = 5.0
TRUE = ("1", "ON", "YES", "TRUE")


def fetch(source: HubSource, work: Path, log: Log) -> Fetched:
    """Download one file and compare it with the table's sha256, or with the one the hub states.

    :raises SourceError: offline by ``HF_HUB_OFFLINE``, not reachable, or no such file.
    :raises CorruptDownloadError: size or sha256 differ.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE:
        raise SourceError("the hub is switched off by HF_HUB_OFFLINE")
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url

    started = time.monotonic()
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    url = hf_hub_url(source.variant, source.file, revision=source.revision, endpoint=endpoint)
    try:
        stated = get_hf_file_metadata(url, timeout=ANSWER_S, endpoint=endpoint)
        log(f"hub: {source.variant} ({source.size / 1e6:.0f} MB)")
        path = Path(
            hf_hub_download(
                source.variant,
                source.file,
                revision=stated.commit_hash or source.revision,
                local_dir=work,
                endpoint=endpoint,
            )
        )
    except Exception as error:  # the library's errors and its transport's share no base class
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = str(error).partition("\n")[0] or "no reason given"
        raise SourceError(f"{endpoint} gives no {source.file}: {reason}") from error
    sha256 = _verify(source, path, stated.etag, stated.size)
    log(f"hub: sha256 verified, {time.monotonic() - started:.0f} s")
    origin = {"repository": source.variant, "commit": stated.commit_hash, "file": source.file}
    return Fetched((path,), {**origin, "file_sha256": sha256})


def _verify(source: HubSource, path: Path, etag: str | None, stated_size: int | None) -> str:
    """The file's sha256, after comparing it with the pinned or the stated one."""
    expected = source.sha256 or etag
    if not re.fullmatch(r"[0-9a-f]{64}", expected or ""):
        raise SourceError(
            f"{source.variant}/{source.file}: the hub states no sha256 to check against"
        )
    size = path.stat().st_size
    if stated_size is not None and size != stated_size:
        raise CorruptDownloadError(f"{source.file} has {size} of {stated_size} bytes")
    sha256 = sha256_of(path)
    if sha256 != expected:
        raise CorruptDownloadError(f"{source.file} has sha256 {sha256}, expected {expected}")
    return sha256
