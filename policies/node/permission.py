"""Who may move the robot: what forbids it, what lifts that, and what the operator is shown."""

from __future__ import annotations

from dataclasses import dataclass

E_STOP = "e_stop"
STOPPED = "stopped"
DISABLED = "disabled"
FATAL = frozenset({E_STOP, STOPPED, "publishers", "description"})
"""What an operator has to look after, rather than wait for."""
_FIRST = (E_STOP, STOPPED, DISABLED)


@dataclass(frozen=True)
class Answer:
    """Of a request to enable, disable, stop or release. ``message``: what is so now."""

    success: bool
    message: str


class Permission:
    """Whether a policy may move its robot.

    It may where nothing forbids it. Causes are kept side by side, each under a name of its own:
    those that go by themselves (frames that stopped) are set and cleared as they are seen, the
    e-stop, a stop for good and *disabled* stay until a person lifts them.

    :param enabled: whether it begins enabled.
    """

    def __init__(self, enabled: bool) -> None:
        self._reasons: dict[str, str] = {}
        if not enabled:
            self.disable("not enabled yet: call ~/enable")

    @property
    def may_move(self) -> bool:
        return not self._reasons

    @property
    def is_silent(self) -> bool:
        """Another may move the robot now: a hold must not be repeated."""
        return DISABLED in self._reasons and E_STOP not in self._reasons

    @property
    def is_fatal(self) -> bool:
        """An operator has to do something."""
        return not FATAL.isdisjoint(self._reasons)

    @property
    def reason(self) -> str:
        """Why the robot is held, the gravest first; empty where it is not."""
        known = [name for name in _FIRST if name in self._reasons]
        return "; ".join(
            self._reasons[name] for name in [*known, *(n for n in self._reasons if n not in known)]
        )

    def hold(self, name: str, reason: str) -> bool:
        """Forbid motion for a cause. :return: whether it is a new one."""
        is_new = name not in self._reasons
        self._reasons[name] = reason
        return is_new

    def clear(self, name: str) -> None:
        """A cause is gone."""
        self._reasons.pop(name, None)

    def forbids(self, name: str) -> bool:
        return name in self._reasons

    def stop(self, reason: str) -> None:
        """Forbid motion until the node is activated anew."""
        self.hold(STOPPED, f"stopped: {reason}; deactivate and activate the node to go on")

    def press(self) -> None:
        """The e-stop. It stays pressed until :meth:`release`."""
        self.hold(E_STOP, "e-stop: pressed; call ~/e_stop with false, then ~/enable")
        self.disable("disabled by the e-stop: call ~/enable")

    def release(self) -> Answer:
        """Lift the e-stop; what it disabled stays disabled."""
        if E_STOP not in self._reasons:
            return Answer(True, "the e-stop was not pressed")
        self.clear(E_STOP)
        return Answer(True, "the e-stop is released; ~/enable lets the robot move again")

    def enable(self) -> Answer:
        if E_STOP in self._reasons:
            return Answer(False, "the e-stop is pressed: call ~/e_stop with false first")
        self.clear(DISABLED)
        return Answer(True, f"enabled, but held: {self.reason}" if self.reason else "enabled")

    def disable(self, reason: str = "disabled: call ~/enable") -> Answer:
        self.hold(DISABLED, reason)
        return Answer(True, "disabled")
