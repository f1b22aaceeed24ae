"""How a command tells a user what is wrong: in one sentence, without a traceback.

A word of the command was wrong: exit code 2. The words were right, and it could not be done: 1. A
threshold failed: that of k6, 99.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from booking_core.errors import BookingError
from experiments.explore import NotReproduced, UnreadableSchedule
from experiments.load.thresholds import FAILED_EXIT_CODE, BadThreshold
from experiments.report.profiles import ProfileError
from experiments.report.publish import FolderRefused
from experiments.scenes.catalogue import UnknownStrategy
from experiments.scenes.parameters import BadExperiment
from experiments.server.postgres import ServerError
from experiments.steer.conversation import ConversationError
from experiments.steer.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from experiments.load.thresholds import Threshold

WRONG_WORDS = (BadExperiment, BadThreshold, UnknownStrategy, ProfileError, UnreadableSchedule)
NOT_POSSIBLE = (
    BookingError, ServerError, FolderRefused, NotReproduced, ProgramError, ConversationError,
)  # fmt: skip


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Turn the errors that a user can mend into one line; others keep their traceback."""
    try:
        yield
    except WRONG_WORDS as error:
        raise click.UsageError(str(error)) from None
    except NOT_POSSIBLE as error:
        raise click.ClickException(str(error)) from None


def end_if_failed(failed: Sequence[Threshold], result: Mapping[str, object]) -> None:
    """Say which thresholds failed, if any, and end with k6's exit code then.

    Args:
        failed: The thresholds that the result does not keep.
        result: Its numbers by name.
    """
    for condition in failed:
        click.secho(condition.failure(result), err=True, fg="red")
    if failed:
        sys.exit(FAILED_EXIT_CODE)
