"""A bridge whose camera takes longer for a picture than a control step may: ``-m slow_bridge``."""

from __future__ import annotations

import sys
import time

from sim_bridge.bridge import node
from sim_bridge.bridge.session import Session, SessionFrame

PICTURE_S = 0.06


class SlowSession(Session):
    """Pictures come late."""

    def observe(self) -> SessionFrame:
        time.sleep(PICTURE_S)
        return super().observe()


if __name__ == "__main__":
    node.Session = SlowSession
    sys.exit(node.main())
