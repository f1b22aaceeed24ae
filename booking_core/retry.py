"""When a transaction is tried again, and after how long a pause.

Pauses grow exponentially up to a cap and are drawn at random below it ("full jitter"), so that
clients that collided once do not collide again in step. Source of the idea: Marc Brooker,
"Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a transaction is tried, and how long to pause in between.

    Attributes:
        attempts: Tries in all, the first included.
        first_pause: Upper bound of the pause after the first try, in seconds; it doubles with
            every further try.
        longest_pause: What it doubles up to, in seconds.
    """

    attempts: int = 5
    first_pause: float = 0.005
    longest_pause: float = 0.1

    def pause(self, attempt: int, source: Random) -> float:
        """Return the seconds to wait after the given try (1 is the first)."""
        growth = 2 ** min(attempt - 1, 30)  # beyond that only the float would grow
        return source.uniform(0, min(self.longest_pause, self.first_pause * growth))


# For locks that answer "taken" at once: about five seconds on average, then `busy`.
PATIENT = RetryPolicy(attempts=42, longest_pause=0.25)
