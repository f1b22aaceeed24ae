"""The pages of a report: a front page with the answer, and one page for each notebook.

A page is one file that needs nothing else to be read: style and pictures are inside it, there is
no script and no address outside the report. Templates and style are in `templates`; what is
shown comes from the runs and from the tables and figures that they saved.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from PIL import Image

from experiments.report.report import Report
from experiments.report.runs import Run
from experiments.show import tables
from experiments.show.verdicts import Verdict, as_frame, summary

TEMPLATES = Path(__file__).parent / "templates"


class Link(NamedTuple):
    """A file of the report, as its pages refer to it."""

    href: str
    text: str


@dataclass(frozen=True)
class Pages:
    """Renders a report whose figures, data and notebooks are in a folder already.

    Attributes:
        report: What the pages are about.
        site: The folder that the pages go to.
    """

    report: Report
    site: Path

    def write(self) -> None:
        """Write the front page and a page for each notebook."""
        self._write("index", self._front())
        for run in self.report.runs:
            self._write(run.name, self._page(run))

    def _write(self, name: str, page: str) -> None:
        (self.site / f"{name}.html").write_text(page, encoding="utf-8")

    def _front(self) -> str:
        runs = self.report.runs
        return self._render(
            "index.html.j2",
            current=None,
            tiles=list(self._tiles()),
            choose=[self._table(run, "choose") for run in runs if self._has(run, "choose")],
            measured=list(self._measured()),
            files={run.name: self._files(run) for run in runs},
        )

    def _page(self, run: Run) -> str:
        body, _resources = self._exporter.from_notebook_node(run.notebook)
        return self._render(
            "page.html.j2",
            current=run.name,
            run=run,
            body=Markup(self._relinked(body)),  # noqa: S704 - our notebook, rendered
            has_heading="<h1" in body,
            claims=summary(list(run.verdicts)) if run.verdicts else "",
            files=self._files(run),
        )

    def _render(self, template: str, **context: object) -> str:
        return self._templates.get_template(template).render(
            report=self.report, facts=self._facts, **context
        )

    @cached_property
    def _templates(self) -> jinja2.Environment:
        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters.update(
            duration=duration,
            markdown=self._markdown,
            verdict_table=_verdict_table,
        )
        return templates

    @cached_property
    def _exporter(self) -> HTMLExporter:
        return HTMLExporter(  # type: ignore[no-untyped-call]
            template_name="notebook",
            extra_template_basedirs=[str(TEMPLATES)],
            exclude_anchor_links=True,
        )

    @cached_property
    def _facts(self) -> dict[str, str]:
        ours = {
            "date": f"{self.report.started:%d %B %Y, %H:%M} UTC".lstrip("0"),
            "profile": self.report.profile,
            "took": duration(self.report.seconds),
        }
        return ours | self.report.facts

    def _tiles(self) -> Iterator[tuple[str, str]]:
        held, claims = self.report.held
        yield f"{held} of {claims}", "claims held"
        for unit, count in self.report.evidence.items():
            yield f"{count:,}", f"{unit} as evidence"
        yield str(len(self.report.runs)), "notebooks run"
        yield duration(self.report.seconds), "on this machine"

    def _measured(self) -> Iterator[Markup]:
        for run in self.report.runs:
            picture = self.site / "figures" / run.name / "summary.png"
            if not picture.exists() and not self._has(run, "summary"):
                continue
            yield Markup("<h3><a href='{}.html'>{}</a></h3>").format(run.name, run.title)
            if picture.exists():
                yield self._figure(picture)
            if self._has(run, "summary"):
                yield self._table(run, "summary")

    def _figure(self, picture: Path) -> Markup:
        with Image.open(picture) as image:
            # Saved with two device pixels for each CSS pixel: see results.show_figure.
            width, height = (pixels // 2 for pixels in image.size)
            alt = image.info.get("Description", "")
        return Markup("<figure><img src='{}' alt='{}' width='{}' height='{}'></figure>").format(
            picture.relative_to(self.site).as_posix(), alt, width, height
        )

    def _has(self, run: Run, name: str) -> bool:
        return self._data(run, name).exists()

    def _data(self, run: Run, name: str) -> Path:
        return self.site / "data" / run.name / f"{name}.json"

    def _table(self, run: Run, name: str) -> Markup:
        saved = json.loads(self._data(run, name).read_text(encoding="utf-8"))
        frame = pd.DataFrame(saved["rows"], columns=saved["columns"])
        return Markup(tables.to_html(frame, saved["caption"]))  # noqa: S704 - escaped there

    def _files(self, run: Run) -> list[Link]:
        found = [self.site / "notebooks" / f"{run.name}.ipynb"]
        for folder in ("figures", "data"):
            found += sorted((self.site / folder / run.name).glob("*"))
        return [Link(path.relative_to(self.site).as_posix(), path.name) for path in found]

    def _markdown(self, source: str) -> Markup:
        return Markup(self._relinked(markdown2html(source)))  # noqa: S704 - our notebook's prose

    def _relinked(self, page: str) -> str:
        """Lead links between notebooks to their pages, and drop those that lead out of here."""
        names = {run.name for run in self.report.runs}

        def lead(link: re.Match[str]) -> str:
            name, anchor, text = link.group("name", "anchor", "text")
            return f'<a href="{name}.html{anchor}">{text}</a>' if name in names else text

        return re.sub(
            r'<a href="(?:\./)?(?P<name>[\w-]+)\.ipynb(?P<anchor>(?:#[^"]*)?)">(?P<text>.*?)</a>',
            lead,
            page,
            flags=re.DOTALL,
        )


def duration(seconds: float) -> str:
    """Word a duration for people.

    Args:
        seconds: Any length of time.

    Returns:
        For instance "45 s", "2 min 5 s" or "1 h 20 min".
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _verdict_table(verdicts: Iterable[Verdict]) -> Markup:
    listed = list(verdicts)
    return Markup(tables.to_html(as_frame(listed), summary(listed)))  # noqa: S704 - escaped there
