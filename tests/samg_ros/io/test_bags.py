"""Whose message definitions a bag gets."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="needs the [bag] extra")
pytest.importorskip("ament_index_python", reason="needs ROS 2, or the [ros] extra")

from ament_index_python import packages
from rosbags.typesys import Stores, get_typestore

from samg_ros.errors import BagError
from samg_ros.io.bags import own_store, register_installed_type

SHELF = "shop_msgs/msg/Shelf"


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The share folder of every package."""
    (tmp_path / "msg").mkdir()
    monkeypatch.setattr(packages, "get_package_share_directory", lambda _: str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("distribution", "store"),
    [
        ("humble", Stores.ROS2_HUMBLE),
        ("jazzy", Stores.ROS2_JAZZY),
        ("", Stores.ROS2_KILTED),
        ("tomorrow", Stores.ROS2_KILTED),
    ],
)
def test_definitions_are_those_of_the_distribution(
    distribution: str, store: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    assert own_store() == store


def test_a_workspaces_type_is_registered_with_what_it_is_made_of(share: Path) -> None:
    (share / "msg" / "Shelf.msg").write_text("shop_msgs/Box[] boxes\n")
    (share / "msg" / "Box.msg").write_text("float64 weight\n")
    types = get_typestore(Stores.ROS2_KILTED)
    register_installed_type(types, SHELF)
    assert {SHELF, "shop_msgs/msg/Box"} <= set(types.fielddefs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "no definition of shop_msgs/msg/Shelf"), ("wstring<=4[] a\n", "cannot be parsed")],
)
def test_what_cannot_be_registered_says_why(share: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (share / "msg" / "Shelf.msg").write_text(text)
    with pytest.raises(BagError, match=reason):
        register_installed_type(get_typestore(Stores.ROS2_KILTED), SHELF)


def test_a_type_that_lacks_a_part_is_refused_every_time(share: Path) -> None:
    (share / "msg" / "Shelf.msg").write_text("shop_msgs/Box[] boxes\n")
    types = get_typestore(Stores.ROS2_KILTED)
    for _ in range(2):
        with pytest.raises(BagError, match="no definition of shop_msgs/msg/Box"):
            register_installed_type(types, SHELF)
        assert SHELF not in types.fielddefs
