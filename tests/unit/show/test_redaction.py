"""What leaves this machine tells nothing about it."""

import sys
from pathlib import Path

import pytest

from experiments.show.redaction import Redactor

ENVIRONMENT = {
    "BOOKING_DATABASE_URL": "postgresql://ann:s3cret%21x@db.example.org:5432/salon",
    "PGPASSWORD": "another-s3cret",
}
PROJECT = Path(__file__).parents[3]


@pytest.fixture
def redactor(tmp_path: Path) -> Redactor:
    """Know one more folder, as the publisher does."""
    return Redactor(tmp_path / "scratch", environment=ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"File {PROJECT}/experiments/race.py:12", "File …/experiments/race.py:12"),
        (f'"{sys.prefix}/lib/x.py"', '"…/lib/x.py"'),
        ("at /tmp/ipykernel_17/42.py", "at …/ipykernel_17/42.py"),
        (f"{Path.home()}/notes and {Path.home()}", "…/notes and …"),
        (f"\x1b[32m{PROJECT}\x1b[39m/lab", "…/lab"),
        ("cannot reach postgresql+psycopg://ann:pw@host/db?x=1: no", "cannot reach … no"),
        (f"url is {ENVIRONMENT['BOOKING_DATABASE_URL']!r}", "url is '…'"),
        ("password=hush host=here", "password=… host=here"),
        ("the password s3cret!x, quoted s3cret%21x", "the password …, quoted …"),
        ("PGPASSWORD was another-s3cret", "PGPASSWORD was …"),
    ],
)
def test_paths_and_secrets_leave_an_ellipsis(redactor: Redactor, text: str, expected: str) -> None:
    """Every place where a traceback or a driver's error was seen to name one."""
    assert redactor.text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "5/s with 20 clients, 1/2 of them booked",
        "see https://www.postgresql.org/docs/18/explicit-locking.html",
        "the salon opens at 9; PostgreSQL 18; advisory/exclusion",
        f"{PROJECT.name} is what it is called, and /tmpfile is no folder of ours",
    ],
)
def test_everything_else_is_left_alone(redactor: Redactor, text: str) -> None:
    """A report that lost its prose to caution would be of no use."""
    assert redactor.text(text) == text


def test_a_password_that_is_an_ordinary_word_does_not_blank_the_report() -> None:
    """With the customary postgres:postgres every mention of PostgreSQL would go."""
    url = "postgresql://postgres:postgres@localhost/postgres"
    redactor = Redactor(environment={"BOOKING_DATABASE_URL": url})
    assert redactor.text(f"postgres at {url}") == "postgres at …"


def test_a_document_is_redacted_through_and_through(redactor: Redactor, tmp_path: Path) -> None:
    """Notebooks nest text in lists of dicts; pictures in base64 must survive untouched."""
    where = f"{tmp_path}/scratch/x"
    picture = "iVBORw0KGgo/tmp/AAAA"
    document = {"cells": [{"outputs": [{"text": where, "data": {"image/png": picture}}], "n": 1}]}
    assert redactor.document(document) == {
        "cells": [{"outputs": [{"text": "…/x", "data": {"image/png": picture}}], "n": 1}]
    }
