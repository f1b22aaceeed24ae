"""What can be seen of some clients at a moment: how they stand, who holds and waits for what."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import escape


@dataclass(frozen=True, slots=True)
class Standing:
    """How a client stands.

    Attributes:
        client: Its name.
        state: What it is about to do, for whom it waits, or that it is done.
        holds: The locks that it holds.
        waits: The locks that it waits for.
    """

    client: str
    state: str
    holds: str
    waits: str


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen after a step. Notebooks show it as a table.

    Attributes:
        happened: What was done, and what came of it.
        standings: How each client stands.
    """

    happened: str
    standings: tuple[Standing, ...]

    def __str__(self) -> str:
        lines = [self.happened]
        for each in self.standings:
            locks = f"; holds {each.holds}" if each.holds else ""
            locks += f"; waits for {each.waits}" if each.waits else ""
            lines.append(f"  {each.client} {each.state}{locks}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{each.client}</th>"
            + "".join(f"<td>{escape(cell)}</td>" for cell in (each.state, each.holds, each.waits))
            + "</tr>"
            for each in self.standings
        )
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("", "", "holds", "waits for"))
        return (
            f"<table><caption>{escape(self.happened)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )
