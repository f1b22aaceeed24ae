"""The sound strategies, by name."""

from booking_core.strategies.advisory import Advisory, AdvisoryTry
from booking_core.strategies.base import Strategy, Traits
from booking_core.strategies.constraint import Exclusion, OneStatement, TemporalKey
from booking_core.strategies.function import Function
from booking_core.strategies.optimistic import Serializable, Version
from booking_core.strategies.staff_row import StaffRow, StaffRowNowait, StaffRowSkipLocked
from booking_core.strategies.table_lock import TableLock

_LOCKS = (Advisory, AdvisoryTry, StaffRow, StaffRowNowait, StaffRowSkipLocked)
_REST = (Serializable, Exclusion, OneStatement, TemporalKey, Version, Function, TableLock)
STRATEGIES: dict[str, type[Strategy]] = {each.name: each for each in (*_LOCKS, *_REST)}
DEFAULT = Advisory  # in production with the exclusion constraint as its backstop

__all__ = ["DEFAULT", "STRATEGIES", "Strategy", "Traits"]
