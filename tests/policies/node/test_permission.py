"""Who may move the robot: causes that go by themselves, and those that a person lifts."""

from __future__ import annotations

from policies.node.permission import Permission


def test_what_is_not_forbidden_is_allowed() -> None:
    permission = Permission(enabled=True)
    assert permission.may_move and permission.reason == "" and not permission.is_fatal


def test_a_node_that_starts_disabled_waits_for_enable() -> None:
    permission = Permission(enabled=False)
    assert not permission.may_move and permission.is_silent
    assert "call ~/enable" in permission.reason
    assert permission.enable().success and permission.may_move


def test_causes_add_up_and_go_one_by_one() -> None:
    permission = Permission(enabled=True)
    assert permission.hold("frames", "no frame") and not permission.hold("frames", "no frame yet")
    permission.hold("joints", "no joints")
    permission.disable()
    assert permission.reason == "disabled: call ~/enable; no frame yet; no joints"
    assert permission.enable().message == "enabled, but held: no frame yet; no joints"
    permission.clear("frames")
    assert permission.reason == "no joints" and not permission.may_move
    permission.clear("joints")
    assert permission.may_move


def test_the_e_stop_is_lifted_in_two_steps() -> None:
    permission = Permission(enabled=True)
    permission.press()
    assert permission.is_fatal and permission.reason.startswith("e-stop: pressed")
    assert not permission.is_silent  # the hold goes on, whoever else might want to move
    assert not permission.enable().success and not permission.may_move
    assert permission.release().success
    assert not permission.may_move and permission.is_silent
    assert permission.enable().success and permission.may_move
    assert permission.release().message == "the e-stop was not pressed"


def test_a_stop_for_good_outlasts_enable() -> None:
    permission = Permission(enabled=True)
    permission.stop("an action that is no number")
    assert permission.is_fatal
    permission.enable()
    assert not permission.may_move
    assert "deactivate and activate the node" in permission.reason
