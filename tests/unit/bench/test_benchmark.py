"""The benchmark's arithmetic: what pgbench printed, ratios within rounds, and what is wrong."""

import math

import pandas as pd
import pytest

from experiments.bench import Benchmark, Plan, scripts
from experiments.bench.contenders import PGBENCH, everybody, find_contender
from experiments.bench.pgbench import PgbenchFailed, read_answer
from experiments.scenes.catalogue import UnknownStrategy
from experiments.scenes.parameters import BadExperiment

SUMMARY = """\
transaction type: -
number of transactions actually processed: 3000
number of failed transactions: 2 (0.067%)
latency average = 1.234 ms
initial connection time = 2.345 ms
tps = 1000.000000 (without initial connection time)
"""
PROGRESS = "progress: 1.0 s, 600.0 tps, lat 1.6 ms stddev 0.1, 0 failed\n"


def test_pgbenchs_answer_is_read() -> None:
    """The numbers that ratios rest on."""
    answer = read_answer(SUMMARY, cpu_seconds=0.5)
    assert (answer.per_second, answer.transactions, answer.failed) == (1000.0, 3000, 2)
    assert (answer.latency_ms, answer.cpu_seconds) == (1.234, 0.5)


def test_the_warm_up_is_taken_off() -> None:
    """3000 in three seconds, 600 of them in the first: 1200 a second afterwards."""
    assert read_answer(SUMMARY, PROGRESS).per_second == pytest.approx(1200)


def test_an_answer_without_its_numbers_is_no_answer() -> None:
    """A newer pgbench that words it otherwise must not become a zero."""
    with pytest.raises(PgbenchFailed, match="latency average"):
        read_answer(SUMMARY.replace("latency average", "mean latency"))


@pytest.mark.parametrize("contender", PGBENCH.values(), ids=lambda each: each.name)
def test_scripts_have_no_parameter_left_unwritten(contender: object) -> None:
    """What the service sends as parameters is a variable of the script."""
    script = contender.script  # type: ignore[attr-defined]
    assert "%(" not in script
    assert script.startswith(scripts.PICK)


def _turn(contender: str, number: int, per_second: float, **more: object) -> dict[str, object]:
    return {
        "round": number,
        "workload": "hot_slot",
        "clients": 20,
        "contender": contender,
        "sound": True,
        "constrained": False,
        "per_second": per_second,
        "failed": 0,
        "latency_ms": 1.0,
        "client_cpu_us": 50.0,
        "client_cpu_share": 0.5,
        "replied": 1.0,
        "stored": 1,
        "double_bookings": 0,
    } | more


TURNS = [
    *(_turn("service:advisory", n, rate) for n, rate in enumerate((200, 900, 300), 1)),
    *(_turn("pgbench:statements", n, rate) for n, rate in enumerate((100, 300, 200), 1)),
    *(_turn("service:exclusion", n, rate, constrained=True) for n, rate in enumerate((50,) * 3, 1)),
    *(_turn("pgbench:bare_insert", n, 100, replied=None) for n in (1, 2, 3)),
    *(_turn("pgbench:bare_insert_constrained", n, 25, replied=None) for n in (1, 2, 3)),
]


def test_ratios_are_medians_of_ratios_within_a_round() -> None:
    """A round that disturbed everybody alike must not move them: 2, 3 and 1.5 have median 2."""
    ratios = Benchmark(Plan(), pd.DataFrame(TURNS)).ratios().set_index("contender")
    assert ratios.loc["service:advisory", "ratio_to_pgbench_statements"] == 2.0
    assert ratios.loc["service:advisory", "ratio_to_pgbench_statements_low"] == 1.75
    assert ratios.loc["service:advisory", "per_second"] == 300
    assert math.isnan(ratios.loc["service:advisory", "ratio_to_pgbench_function"])


def test_a_bare_insert_is_compared_on_a_table_with_the_same_indexes() -> None:
    """The exclusion constraint costs the bare insert as well."""
    ratios = Benchmark(Plan(), pd.DataFrame(TURNS)).ratios().set_index("contender")
    assert ratios.loc["service:advisory", "ratio_to_bare_insert"] == 3.0
    assert ratios.loc["service:exclusion", "ratio_to_bare_insert"] == 2.0


def test_the_json_has_the_columns_that_were_promised_and_no_nan() -> None:
    """Programs read it; JSON knows no NaN."""
    (first, *_) = Benchmark(Plan(), pd.DataFrame(TURNS)).records()
    promised = {"workload", "clients", "contender", "per_second"}
    promised |= {f"ratio_to_{name}" for name in ("pgbench_statements", "pgbench_function")}
    assert promised | {"ratio_to_bare_insert"} <= first.keys()
    assert first["ratio_to_pgbench_function"] is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"double_bookings": 3}, "3 pairs of appointments overlap"),
        ({"replied": 2.0}, "2 were booked, 1 are stored"),
    ],
)
def test_what_the_rows_belie_is_wrong(more: dict[str, object], said: str) -> None:
    """Speed that breaks a promise is no speed; of exhibits nothing else is expected."""
    turn = _turn("service:advisory", 1, 100, **more)
    assert said in Benchmark(Plan(), pd.DataFrame([turn])).wrong()[0]
    exhibit = turn | {"sound": False}
    assert Benchmark(Plan(), pd.DataFrame([exhibit])).wrong() == []


@pytest.mark.parametrize(
    ("given", "raised", "said"),
    [
        ({"clients": [0]}, BadExperiment, "clients is 0"),
        ({"rounds": 0}, BadExperiment, "rounds is 0"),
        ({"workloads": ["cold"]}, BadExperiment, "no workload 'cold'"),
        ({"contenders": ["k6:advisory"]}, UnknownStrategy, "no contender 'k6:advisory'"),
        ({"contenders": ["service:nonsense"]}, UnknownStrategy, "nonsense"),
    ],
)
def test_an_absurd_plan_is_refused_in_a_sentence(
    given: dict[str, object], raised: type[Exception], said: str
) -> None:
    """Before anything starts."""
    with pytest.raises(raised, match=said):
        Plan(**given)  # type: ignore[arg-type]


def test_everybody_can_be_found_by_name() -> None:
    """Names in tables are names for the command."""
    assert [find_contender(name).name for name in everybody()] == everybody()
