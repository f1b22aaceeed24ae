"""How a command tells a user what is wrong: in one sentence, without a traceback."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from booking_core.errors import BookingError
from experiments.explore import NotReproduced, UnreadableSchedule
from experiments.load.thresholds import BadThreshold
from experiments.race.race import BadExperiment
from experiments.report.profiles import ProfileError
from experiments.report.publish import FolderRefused
from experiments.scenes.catalogue import UnknownStrategy
from experiments.server.postgres import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A word of the command was wrong: exit code 2.
WRONG_WORDS = (BadExperiment, BadThreshold, UnknownStrategy, ProfileError, UnreadableSchedule)
# The words were right, and it could not be done: exit code 1.
NOT_POSSIBLE = (BookingError, ServerError, FolderRefused, NotReproduced)


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Turn the errors that a user can mend into one line; others keep their traceback."""
    try:
        yield
    except WRONG_WORDS as error:
        raise click.UsageError(str(error)) from None
    except NOT_POSSIBLE as error:
        raise click.ClickException(str(error)) from None
