"""Who can reach what a stage or a demo starts: this machine alone."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from harness import RECORDER, open_stage

# The ports on which participants of any domain listen: 7400 + 250 for each.
DDS_PORTS = range(7000, 33_000)
LISTENING = "0A"


def sockets_of(pid: int) -> list[tuple[str, str, int, str]]:
    """(protocol, address, port, state) of a process's IPv4 sockets."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            continue
    mine = {link.removeprefix("socket:[").rstrip("]") for link in links if "socket:" in link}
    found = []
    for protocol in ("udp", "tcp"):
        for line in Path(f"/proc/{pid}/net/{protocol}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[9] in mine:
                address, port = cells[1].split(":")
                ip = str(ipaddress.ip_address(bytes.fromhex(address)[::-1]))
                found.append((protocol, ip, int(port, 16), cells[3]))
    return found


def test_nodes_listen_on_the_loopback_address_alone(tmp_path: Path) -> None:
    with open_stage(tmp_path) as stage:
        stage.start("recorder", RECORDER, {"bag": str(tmp_path / "bag"), "topics": ["/nothing"]})
        stage.probe.wait_for(lambda: "recorder" in stage.probe.statuses, "the recorder runs")
        found = sockets_of(stage.pid("recorder"))
    on_dds_ports = [s for s in found if s[0] == "udp" and s[2] in DDS_PORTS]
    assert on_dds_ports, "a participant listens on some of its domain's ports"
    assert {address for _, address, _, _ in on_dds_ports} == {"127.0.0.1"}
    assert not [s for s in found if s[0] == "tcp" and s[3] == LISTENING]
