"""Requests: what is refused before the database is asked, and what tells two apart."""

# ruff: noqa: SIM300 - expected == actual

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_core.errors import InvalidRequest
from booking_core.requests import (
    FILLERS,
    OVERRIDES,
    Appointment,
    Key,
    Request,
    check_id,
    check_text,
    shortened,
)
from booking_core.slots import Slot

START = datetime(2030, 1, 7, 9, tzinfo=UTC)
SLOT = Slot(START, START + timedelta(hours=1))
ASKED: dict[str, Any] = {"staff_id": 1, "service_id": 2, "client": "Ada", "start": START}


def _request(staff_id: int, moves_from: int | None = None) -> Request:
    moves = None if moves_from is None else Appointment(7, moves_from, 1, "Ada", SLOT)
    return Request(1, "Ada", START, moves=moves, staff_id=staff_id, slot=SLOT, blocked=SLOT)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(_request(3), [3], id="a booking"),
        pytest.param(_request(3, moves_from=3), [3], id="a move within one calendar"),
        pytest.param(_request(3, moves_from=1), [1, 3], id="a move to another calendar"),
        pytest.param(_request(1, moves_from=3), [1, 3], id="and the move back"),
    ],
)
def test_calendars_are_guarded_in_one_order(request_: Request, expected: list[int]) -> None:
    """Two moves in opposite directions would deadlock if each began with its own calendar."""
    assert expected == request_.staff_ids


@settings(deadline=None)
@given(st.integers(1, 2**31 - 1))
def test_every_id_that_a_column_holds_is_accepted(value: int) -> None:
    """The check must not refuse what may be stored."""
    assert value == check_id(value, "UNKNOWN_STAFF", "staff member")


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        2**31,
        2**63,
        True,
        False,
        1.0,
        float("nan"),
        float("inf"),
        "1",
        "1; DROP TABLE appointment",
        b"1",
        None,
        [1],
        {"id": 1},
        ...,
    ],
    ids=repr,
)
def test_what_can_be_no_id_never_reaches_the_database(value: object) -> None:
    """PostgreSQL would answer with an error of its own, or take true for 1."""
    with pytest.raises(InvalidRequest, match=r"^There is no staff member ") as refusal:
        check_id(value, "UNKNOWN_STAFF", "staff member")
    assert "UNKNOWN_STAFF" == refusal.value.code


def test_an_enormous_id_is_refused_like_any_other() -> None:
    """Whatever is sent, the answer is one of ours."""
    try:
        check_id(10**5000, "UNKNOWN_STAFF", "staff member")
    except InvalidRequest:
        return
    pytest.fail("an id of 5001 digits was accepted")


@settings(deadline=None)
@given(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=200))
def test_a_name_of_letters_digits_and_signs_is_kept_as_it_is(name: str) -> None:
    """Nobody's name is changed: not José's, not 明日香's, not O'Neil's."""
    assert name == check_text(name, "BAD_CLIENT", "client's name")


@pytest.mark.parametrize(
    ("given_name", "kept"), [("  Ada  ", "Ada"), ("\tAda Lovelace\n", "Ada Lovelace")]
)
def test_blanks_around_a_name_are_left_out(given_name: str, kept: str) -> None:
    """A client who typed a blank is the same client."""
    assert kept == check_text(given_name, "BAD_CLIENT", "client's name")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(" \t\n\u3000", id="blank"),
        pytest.param("x" * 201, id="one too many"),
        pytest.param("x" * 10_000_000, id="enormous"),
        pytest.param("Ada\0", id="NUL, which PostgreSQL can't store"),
        pytest.param("Ada\nLovelace", id="line break"),
        pytest.param("Ada\x1b[2J", id="a command to a terminal"),
        pytest.param("Ada\u202egpj.exe", id="right-to-left override"),
        pytest.param("Ada\ud800", id="half a surrogate pair, which is no UTF-8"),
        pytest.param(None, id="none"),
        pytest.param(b"Ada", id="bytes"),
        pytest.param(7, id="number"),
        pytest.param(["Ada"], id="list"),
    ],
)
def test_what_is_no_name_is_refused_in_a_short_message(value: object) -> None:
    """Names are shown to people and stored in UTF-8; a message never repeats a megabyte."""
    with pytest.raises(InvalidRequest) as refusal:
        check_text(value, "BAD_CLIENT", "client's name")
    assert "BAD_CLIENT" == refusal.value.code
    assert len(str(refusal.value)) < 200
    assert str(refusal.value).isprintable()


def test_two_hundred_characters_are_a_name() -> None:
    """The limit itself is allowed."""
    assert "x" * 200 == check_text("x" * 200, "BAD_CLIENT", "client's name")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("می\u200cنا", id="Persian, with a zero-width non-joiner"),  # noqa: RUF001
        pytest.param("ක්\u200dරිස්", id="Sinhala, with a zero-width joiner"),
        pytest.param("Ada\u00a0Lovelace", id="with a no-break space"),
        pytest.param("山田\u3000太郎", id="with the space that Japanese keyboards type"),
        pytest.param("\u2068Ada\u2069", id="isolated, as a bidirectional form sends it"),
        pytest.param("Ada\u200f", id="with a right-to-left mark"),
        pytest.param("Ada Love\u00adlace", id="with a soft hyphen"),
        pytest.param("Ada\u2009Lovelace", id="with a thin space"),
        pytest.param(
            "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Ada",
            id="the flag of Scotland",
        ),
        pytest.param(
            "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
            id="the flag of Wales",
        ),
    ],
)
def test_names_are_not_only_latin(name: str) -> None:
    """Some scripts can't be written without invisible characters, and people paste others.

    Reported as names that a form refuses: https://github.com/calcom/cal.com, Easy!Appointments.
    """
    assert name == check_text(name, "BAD_CLIENT", "client's name")


KINDS = {"Cc", "Cs"}  # controls, and halves of a character


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=KINDS, exclude_characters=OVERRIDES)))
def test_whatever_can_be_seen_is_a_name(middle: str) -> None:
    """Of any category of Unicode but the refused ones, known to this Python or not."""
    name = f"A{middle[:198]}a"
    assert name == check_text(name, "BAD_CLIENT", "client's name")


@settings(deadline=None)
@given(
    st.text(max_size=20),
    st.one_of(st.characters(categories=KINDS), st.sampled_from(OVERRIDES)),
    st.text(max_size=20),
)
def test_no_name_has_a_control_an_override_or_half_a_character(
    before: str, wrong: str, after: str
) -> None:
    """Wherever it stands."""
    with pytest.raises(InvalidRequest, match=r"has the character U\+") as refusal:
        check_text(f"A{before}{wrong}{after}a", "BAD_CLIENT", "client's name")
    assert str(refusal.value).isprintable()


@settings(deadline=None)
@given(
    st.text(
        st.one_of(
            st.characters(categories=["Zs", "Zl", "Zp", "Cf", "Mn", "Cc"]), st.sampled_from(FILLERS)
        )
    )
)
def test_what_nobody_sees_is_no_name(blank: str) -> None:
    """Blanks of all kinds, marks, and letters that show nothing."""
    with pytest.raises(InvalidRequest, match="is empty"):
        check_text(blank, "BAD_CLIENT", "client's name")


def test_a_digest_says_whether_it_is_the_same_request() -> None:
    """A key that comes with another request is refused."""
    others: list[dict[str, Any]] = [
        {"staff_id": 2},
        {"service_id": 3},
        {"client": "Bob"},
        {"start": START + timedelta(minutes=15)},
    ]
    assert _digest(*ASKED.values()) == _digest(*ASKED.values())
    assert 5 == len({_digest(*(ASKED | other).values()) for other in [{}, *others]})


def test_parts_of_a_request_can_not_run_into_each_other() -> None:
    """Staff 1 and service 12 are not staff 11 and service 2, whatever the client calls himself."""
    seen = [
        _digest(1, 12, "Ada", START),
        _digest(11, 2, "Ada", START),
        _digest(1, 1, "2, 'Ada", START),
    ]
    assert 3 == len(set(seen))


def test_a_request_without_a_key_has_none() -> None:
    """None is no key, whatever was asked; an empty one is refused."""
    assert Key.of(None, "", 1) is None
    for value, scope in (("", ""), (" ", ""), (7, ""), ("1", " "), ("1", None), ("1", 7)):
        with pytest.raises(InvalidRequest) as refusal:
            Key.of(value, scope, 1)
        assert "BAD_KEY" == refusal.value.code


def _digest(*asked: object) -> str:
    key = Key.of("a key", "", *asked)
    assert key
    return key.digest


@settings(deadline=None)
@given(st.one_of(st.text(), st.binary(), st.lists(st.integers())))
def test_values_are_shown_in_short(value: object) -> None:
    """A message shows what was sent, or how it began."""
    shown = shortened(value)
    assert len(shown) <= 61
    assert repr(value).startswith(shown.removesuffix("…"))
    assert repr(value) == shown or len(repr(value)) > 60
