"""What can go wrong between a client and the server, at a step that is about to be taken.

Each is deterministic: whoever causes it waits until the server process has come to its end, and
with it its transaction and its locks.
"""

from __future__ import annotations

CUT = "cut"
LOST_ANSWER = "lost answer"
ENDED = "ended"
ENDED_WAITING = "ended while waiting"

AT_A_STEP = (CUT, LOST_ANSWER, ENDED)
"""The faults of a step that is about to be sent."""
