"""Weights from the Hugging Face hub, asked only after a quick test that it can be reached."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

from samg_ros.io.atomic import sha256_of
from samg_ros.weights.sources import CorruptDownloadError, Fetched, Log, SourceError, child
from samg_ros.weights.sources.spec import HubSource

PROBE_S = 3.0
STALL_S = 20.0
TRUE = ("1", "ON", "YES", "TRUE")
# In a child process because the library retries on its own and cannot be told to stop in time.
DOWNLOAD = """
import json, sys
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
repo, name, revision, folder = sys.argv[1:]
try:
    stated = get_hf_file_metadata(hf_hub_url(repo, name, revision=revision))
    path = hf_hub_download(repo, name, revision=stated.commit_hash or revision, local_dir=folder)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
print(json.dumps({"path": path, "etag": stated.etag, "size": stated.size,
                  "commit": stated.commit_hash}))
"""


def endpoint() -> str:
    """The hub's address: ``HF_ENDPOINT``, else the library's own default."""
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT") or constants.ENDPOINT


def probe(address: str, timeout_s: float = PROBE_S) -> None:
    """Return if a connection to ``address`` (or the proxy in front of it) opens in time.

    In a thread, because a name server that does not answer blocks for longer than any time-out
    that a socket knows.

    :raises SourceError: no connection within ``timeout_s`` seconds.
    """
    parts = urllib.parse.urlsplit(address)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    target = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    outcome: list[OSError | None] = []

    def connect() -> None:
        try:
            socket.create_connection(target, timeout=timeout_s).close()
            outcome.append(None)
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not outcome:
        raise SourceError(f"the hub did not answer within {timeout_s:.0f} s")
    if outcome[0] is not None:
        raise SourceError(f"the hub cannot be reached: {outcome[0]}")


def fetch(source: HubSource, work: Path, log: Log) -> Fetched:
    """Download one file and compare it with the table's sha256, or with the one the hub states.

    :raises SourceError: offline by ``HF_HUB_OFFLINE``, not reachable, or no such file.
    :raises CorruptDownloadError: size or sha256 differ.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE:
        raise SourceError("the hub is switched off by HF_HUB_OFFLINE")
    started = time.monotonic()
    probe(endpoint())
    log(f"hub: {source.variant} ({source.size / 1e6:.0f} MB)")
    command = [sys.executable, "-c", DOWNLOAD, source.variant, source.file, source.revision]
    # The plain transfer is used: the accelerated one goes to other hosts and retries for minutes.
    variables = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    output = child.run(
        [*command, str(work)], work, log, what="hub", stall_s=STALL_S, environment=variables
    )
    stated = json.loads(output.strip().splitlines()[-1])
    origin = {"repository": source.variant, "commit": stated["commit"], "file": source.file}
    sha256 = _verify(source, Path(stated["path"]), stated)
    log(f"hub: sha256 verified, {time.monotonic() - started:.0f} s")
    return Fetched((Path(stated["path"]),), {**origin, "file_sha256": sha256})


def _verify(source: HubSource, path: Path, stated: dict) -> str:
    """The file's sha256, after comparing it with the pinned or the stated one."""
    expected = source.sha256 or stated["etag"]
    if not re.fullmatch(r"[0-9a-f]{64}", expected or ""):
        raise SourceError(
            f"{source.variant}/{source.file}: the hub states no sha256 to check against"
        )
    size = path.stat().st_size
    if stated["size"] is not None and size != stated["size"]:
        raise CorruptDownloadError(f"{source.file} has {size} of {stated['size']} bytes")
    sha256 = sha256_of(path)
    if sha256 != expected:
        raise CorruptDownloadError(f"{source.file} has sha256 {sha256}, expected {expected}")
    return sha256
