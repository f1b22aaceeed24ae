"""The model without a server: what it promises whatever the machine."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import simpy
from calibrations import HELD, MS, OPTIMISTIC, TOGETHER, calibration, machine
from sqlalchemy import URL

from booking_core.retry import RetryPolicy
from booking_core.strategies import STRATEGIES
from experiments.model.answers import Answers
from experiments.model.beyond import Model, on_sale
from experiments.model.calibration import Calibration, Rests
from experiments.model.cells import Cell, Site
from experiments.model.figures import against_clients, beside
from experiments.model.fitting import fit
from experiments.model.law import law, mean_value, meeting
from experiments.model.machine import Computer, Interpreter, Log, Pool, Rest
from experiments.model.plans import Plan
from experiments.model.proxy import Proxy
from experiments.model.scripts import locking_statement
from experiments.model.sharding import crossing_share, over_nodes
from experiments.model.simulate import Simulation, simulate
from experiments.model.times import Times
from experiments.model.trial import compared
from experiments.model.validation import Validation
from experiments.model.verdict import targets
from experiments.scenes.parameters import BadExperiment

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


def test_a_spread_is_drawn_between_its_percentiles() -> None:
    """The same source gives the same durations, none outside of what was measured."""
    times = Times.of([0.001, 0.002, 0.003])
    drawn = [times.draw(Random(n)) for n in range(100)]
    assert [times.draw(Random(n)) for n in range(100)] == drawn
    assert 0.001 <= min(drawn)
    assert max(drawn) <= 0.003
    assert pytest.approx(0.002) == times.median == times.mean


def test_the_traits_say_where_rivals_meet() -> None:
    """The statement that locks is derived, so a new strategy need not tell it."""
    assert "LOCK" == locking_statement(STRATEGIES["advisory"](), TOGETHER)
    # Nobody waits and nobody is refused: there is nowhere to meet.
    assert locking_statement(STRATEGIES["serializable"](), OPTIMISTIC) is None


def test_statements_one_by_one_are_a_round_trip_each() -> None:
    """The same statements in the same order; the lock stays at its statement."""
    slow = HELD.one_by_one()
    assert [[step.sql] for step in HELD.steps] == [[s.sql for s in trip] for trip in slow.trips]
    assert 3 == slow.hold_before
    assert 3 == slow.trips_after(1)
    assert 0 == TOGETHER.trips_after(1)


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    """What was saved predicts the same as what was measured."""
    before = calibration(handover_s=40e-6)
    before.save(tmp_path / "here.json")
    assert before.as_dict() == Calibration.load(tmp_path / "here.json").as_dict()
    (tmp_path / "broken.json").write_text(json.dumps({"machine": {}}))
    with pytest.raises(ValueError, match="holds no calibration"):
        Calibration.load(tmp_path / "broken.json")


@pytest.mark.parametrize("strategy", ["advisory", "staff_row_nowait", "serializable"])
def test_the_same_seed_gives_the_same_answers(strategy: str) -> None:
    """To the last answer's instant; and another seed gives others where chance has a say."""
    cell = Cell(strategy=strategy, clients=8, seconds=0.2)
    one, again, other = (simulate(cell, calibration(), seed=seed) for seed in (1, 1, 2))
    assert one.ended.tolist() == again.ended.tolist()
    if strategy != "advisory":
        assert one.ended.tolist() != other.ended.tolist()


def test_a_lock_that_is_held_a_millisecond_allows_a_thousand_bookings() -> None:
    """The law, and that the simulation obeys it: 0.1 + 0.4 + 0.5 ms under the lock."""
    cell = Cell(strategy="advisory", clients=50, seconds=1)
    assert pytest.approx(1000) == law(cell, calibration()).most
    assert "the lock" == law(cell, calibration()).limit
    assert pytest.approx(1000, rel=0.01) == simulate(cell, calibration()).per_second


def test_a_slow_network_enters_the_lock_only_if_statements_travel_one_by_one() -> None:
    """Two more round trips of 20 ms under the lock; none where they travel together."""
    together = Cell(strategy="advisory", clients=50, delay_ms=20, seconds=2)
    slow = replace(together, one_by_one=True)
    assert pytest.approx(1 * MS) == law(together, calibration()).exclusive_s
    assert pytest.approx(41.04 * MS) == law(slow, calibration()).exclusive_s
    rates = [simulate(cell, calibration()).per_second for cell in (together, slow)]
    assert pytest.approx(41, rel=0.05) == rates[0] / rates[1]


@pytest.mark.parametrize("strategy", ["advisory", "staff_row_nowait", "serializable"])
@pytest.mark.parametrize("clients", [1, 3, 30])
def test_nothing_simulated_exceeds_the_law(strategy: str, clients: int) -> None:
    """Nor does mean value analysis; both may come close."""
    cell = Cell(strategy=strategy, clients=clients, seconds=0.5)
    found = law(cell, calibration())
    # A window may end just after an answer, hence one more.
    assert simulate(cell, calibration()).per_second <= found.most + 1 / cell.seconds
    assert found.mean_value <= found.most * (1 + 1e-9)


def test_who_is_refused_or_overtaken_tries_again_as_often_as_the_policy_allows() -> None:
    """Whoever waits needs one try; whoever may try but once is told busy."""
    waits, tries, overtaken = (
        simulate(Cell(strategy=name, clients=20, seconds=0.5), calibration())
        for name in ("advisory", "staff_row_nowait", "serializable")
    )
    assert 1 == waits.mean_attempts
    assert tries.mean_attempts > 1
    assert overtaken.mean_attempts > 1

    class Once(STRATEGIES["staff_row_nowait"]):  # type: ignore[misc]  # a class all the same
        retry = RetryPolicy(attempts=1)

    cell = Cell(strategy="staff_row_nowait", clients=20, seconds=0.1)
    assert {"booked", "busy"} == set(simulate(cell, calibration(), strategy=Once()).counts())


def test_a_sale_sells_one_and_a_queue_in_front_spares_the_database() -> None:
    """One booking, a conflict for everybody else; behind a queue one request is made."""
    model = Model(calibration(), cores=4)
    sale = on_sale(model, clients=300, pool=20, strategies=["advisory"]).to_dict("records")
    assert [(1, 299, 300), (1, 299, 1)] == [
        (row["booked"], row["conflict"], row["reached the database"]) for row in sale
    ]


def test_requests_may_arrive_at_a_rate() -> None:
    """About as many are answered as arrive, while that is less than the law allows."""
    cell = Cell(strategy="advisory", workload="spread", clients=50, seconds=5)
    answers = Simulation(cell, calibration()).arriving(200)
    assert pytest.approx(200, rel=0.15) == answers.per_second


def test_two_phases_cost_a_round_trip_and_a_flush_under_the_lock() -> None:
    """So a calendar whose bookings cross nodes takes fewer."""
    cell = Cell(strategy="advisory", clients=20, delay_ms=10, seconds=2)
    one = simulate(cell, calibration(), site=Site(apart=True)).per_second
    two = simulate(cell, calibration(), site=Site(apart=True, two_phase=True)).per_second
    assert pytest.approx(1000, rel=0.02) == one
    assert pytest.approx(1000 / (1 + 10 + 0.5), rel=0.05) == two


def test_nodes_add_up_except_for_what_crosses() -> None:
    """The share that crosses is 1 - 1/n, and a hot calendar's bound does not move."""
    assert 0 == crossing_share(1_000_000, 1)
    assert pytest.approx(0.75, abs=1e-6) == crossing_share(1_000_000, 4)
    assert 1 == crossing_share(2, 2)
    table = over_nodes(Model(calibration()), [1, 4], clients=10)
    assert 1 == table["one hot calendar, at most"].nunique()


def test_birthdays_and_queues_are_those_of_the_textbook() -> None:
    """23 people, 365 days: one half. One queue: its server's rate, when there are enough."""
    assert pytest.approx(0.5, abs=0.01) == meeting(23, 365)
    assert 0 == meeting(1, 365)
    assert pytest.approx(1) == mean_value([0.5], 0.5, 1)
    assert pytest.approx(10, rel=0.001) == mean_value([0.1, 0.02], 1.0, 500)


def test_commits_that_wait_are_flushed_together() -> None:
    """Ten take two flushes: the first one's, and one for all who came meanwhile."""
    env = simpy.Environment()
    log = Log(env, Computer(env, 2, 0, Random(1)), 0.5)
    env.process(log.flush(0.01))
    env.run(0.005)
    for _ in range(9):
        env.process(log.flush(0.01))
    env.run()
    assert pytest.approx(0.02) == env.now


def test_the_pool_is_as_unfair_as_the_real_one() -> None:
    """Who gives a connection back and asks again at once gets it before the one who waited."""
    env = simpy.Environment()
    client = Interpreter(env, Computer(env, 1, 0, Random(1)), Random(1))
    pool = Pool(env, [Rest(env, machine(), server=True)], client)
    served: list[str] = []

    def ask(name: str, times: int) -> Generator[simpy.Event, object, None]:
        for _ in range(times):
            connection = yield from pool.take()
            served.append(name)
            yield env.timeout(1)
            pool.give(connection)

    env.process(ask("first", 3))
    env.process(ask("second", 1))
    env.run()
    assert ["first"] * 3 + ["second"] == served


def test_a_rest_costs_what_was_measured_for_it() -> None:
    """Between what was measured in proportion, beyond it as the longest; less where it is busy."""
    rests = Rests((0.001, 0.003), (1.0, 3.0), (1.0, 2.0))
    rested = replace(machine(), rests=rests, cold=1.0)
    assert [1.0, 2.0, 3.0] == [rested.slower(s, server=True) for s in (0.0, 0.002, 9.0)]
    assert pytest.approx(1.5) == rested.slower(0.002, server=False)
    assert pytest.approx(1.5) == replace(rested, cold=0.5).slower(0.002, server=True)


def test_before_a_cell_begins_everybody_has_rested() -> None:
    """So the first request takes longer than those that follow upon it."""
    rests = Rests((0.0, 1.0), (1.0, 3.0), (1.0, 3.0))
    known = calibration()
    known = replace(known, machine=replace(known.machine, rests=rests, cold=1.0))
    latencies = simulate(Cell(strategy="advisory", seconds=0.1), known).latencies_ms
    assert latencies[0] > 2 * latencies[-1]


def test_fitting_finds_again_what_was_put_in() -> None:
    """Rates that the model itself made, with a number that it does not know."""
    truth = calibration()
    truth = replace(truth, machine=truth.machine.fitted("crowding", 0.11))
    cells = [
        Cell(strategy="advisory", clients=clients, seconds=0.3, workload="spread")
        for clients in (5, 20, 40)
    ]
    measured = [(cell, simulate(cell, truth).per_second) for cell in cells]
    assert pytest.approx(0.11) == fit(calibration(), measured).machine.crowding


def test_every_other_cell_is_kept_out_of_the_fitting() -> None:
    """Half of all, and of each setting and each strategy about half."""
    plan = Plan(strategies=["advisory", "serializable"], clients=(1, 5), pools=())
    cells = plan.cells(calibration())
    assert 2 * len(plan.settings()) == len(cells)
    assert sum(out for _, out in cells) == len(cells) // 2


def test_only_answers_within_the_window_count() -> None:
    """Late ones and requests that gave up do not."""
    answers = Answers(
        1.0,
        np.array([0.0, 0.1, 0.2, 0.9]),
        np.array([0.1, 0.3, 0.4, 1.2]),
        np.array(["booked", "busy", "conflict", "booked"]),
        np.array([1, 3, 2, 1]),
    )
    assert 2 == answers.per_second
    assert pytest.approx([100, 200]) == answers.latencies_ms.tolist()
    assert {"booked": 2, "busy": 1, "conflict": 1} == answers.counts()


def test_a_machine_too_busy_to_answer_spoils_no_page() -> None:
    """Cells in which hardly anybody was answered are shown all the same, and miss the targets."""
    plan = Plan(strategies=["advisory", "serializable"], clients=(1,), delays_ms=(20,))
    known = calibration()
    frame = pd.DataFrame(
        compared(cell, [Answers.of(cell.seconds, rows)], known, held_out=out, seed=1)
        for cell, out in plan.cells(known)
        for rows in ([(0.0, 0.01, "booked", 1)] if cell.one_by_one else [],)
    )
    seen = Validation(known, frame)
    assert len(frame) == len(seen.table())
    assert {"no"} == set(targets(seen, sale_seconds=0.1)["met"].iloc[[0, 1, 3]])
    for figure in (beside(seen.frame), against_clients(seen.curve)):
        figure.canvas.draw()


@pytest.mark.parametrize(
    "wrong", [{"workload": "nothing"}, {"clients": 0}, {"pool": 0}, {"delay_ms": -1}]
)
def test_a_cell_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    """In one sentence, before anything is measured."""
    with pytest.raises(BadExperiment):
        Cell(strategy="advisory", **wrong)  # type: ignore[arg-type]  # that is the point


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[URL]:
    """Serve what is sent back, where a PostgreSQL server's socket would be."""
    loop = asyncio.new_event_loop()
    over = loop.create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    ready = threading.Event()

    async def serve() -> None:
        async with await asyncio.start_unix_server(answer, tmp_path / ".s.PGSQL.5432"):
            ready.set()
            await over

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    yield URL.create("postgresql", query={"host": str(tmp_path)}, port=5432)
    loop.call_soon_threadsafe(over.set_result, None)
    thread.join()
    loop.close()


def test_the_slow_network_keeps_the_order_and_is_never_early(echo: URL) -> None:
    """Everything arrives, as it was sent, and no sooner than the delay; it holds up nothing."""
    sent = b"".join(b"%06d" % number for number in range(2000))
    with Proxy(echo) as proxy, socket.socket(socket.AF_UNIX) as client:
        proxy.delay(50)
        client.connect(f"{proxy.through(echo).query['host']}/.s.PGSQL.5432")
        began = time.monotonic()
        for place in range(0, len(sent), 600):
            client.sendall(sent[place : place + 600])
        received = b""
        while len(received) < len(sent):
            received += client.recv(65_536)
        assert time.monotonic() - began >= 0.05
        assert proxy.delay(0) > 0
    assert sent == received
