"""What a notebook shows and leaves behind.

A notebook that somebody runs in JupyterLab, under nbval or through plain papermill shows its
tables and figures and writes nothing. The publisher names a folder in the environment, which
every kernel inherits, and then the same calls also save what they showed: figures as PNG, tables
as CSV and JSON, the facts of the footer as JSON. A notebook never learns which of the two it is.

    <folder>/figures/<name>.png       the alt text travels inside, as the PNG's "Description"
    <folder>/data/<name>.csv, .json
    <folder>/environment.json
    <folder>/<notebook>.verdicts.json (see verdicts.py)

A table or figure that is called `summary` is shown on the report's front page as well, and so is
a table `choose`, which answers what to choose when.
"""

import base64
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from markupsafe import escape
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.show import tables
from experiments.show.environment import environment

FOLDER_VARIABLE = "BOOKING_LAB_RESULTS"
CSS_PIXELS_PER_INCH = 96
SHARPNESS = 2  # device pixels for each CSS pixel


def folder() -> Path | None:
    """Say where this notebook's results go.

    Returns:
        The folder that the publisher named, or None when nothing is to be written.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


def show_figure(figure: Figure, *, name: str, alt: str) -> None:
    """Show a figure with its alt text, save it under its name and close it.

    Args:
        figure: A finished figure; it can't be drawn on afterwards.
        name: Lower case, digits, `_` and `-`; unique in the notebook.
        alt: What somebody who can't see the figure should know: kind of picture, axes, and
            what stands out.

    Raises:
        ValueError: The name can't be a file's, or the alt text is empty.
    """
    _check_name(name)
    if not alt.strip():
        raise ValueError(f"figure {name!r} needs an alt text")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=CSS_PIXELS_PER_INCH * SHARPNESS)
    plt.close(figure)
    png = _lighter(picture, alt)
    # The text of an output is compared by nbval, so it names the figure and quotes no number.
    width = round(figure.get_figwidth() * CSS_PIXELS_PER_INCH)
    _display(
        {"image/png": base64.b64encode(png).decode(), "text/plain": f"<figure {name}>"},
        metadata={"image/png": {"alt": alt, "width": width}},
    )
    _save(f"figures/{name}.png", png)


def show_table(frame: pd.DataFrame, *, name: str, caption: str) -> None:
    """Show a table that people can read, and save its data in full precision.

    Args:
        frame: The data. A named index becomes columns, an unnamed one is dropped. Cells that
            hold text are shown as they are, so a caller may word a number itself.
        name: Lower case, digits, `_` and `-`; unique in the notebook.
        caption: One sentence that says what the table shows.

    Raises:
        ValueError: The name can't be a file's, or the caption is empty.
    """
    save_table(frame, name=name, caption=caption)
    show_html(tables.to_html(frame, caption), tables.to_text(frame, caption))


def save_table(frame: pd.DataFrame, *, name: str, caption: str) -> None:
    """Save data that is too long to be shown, in full precision.

    Args:
        frame: The data. A named index becomes columns, an unnamed one is dropped.
        name: Lower case, digits, `_` and `-`; unique in the notebook.
        caption: One sentence that says what the data are.

    Raises:
        ValueError: The name can't be a file's, or the caption is empty.
    """
    _check_name(name)
    if not caption.strip():
        raise ValueError(f"table {name!r} needs a caption")
    named = any(index is not None for index in frame.index.names)
    data = frame.reset_index(drop=not named)
    _save(f"data/{name}.csv", data.to_csv(index=False).encode())
    record = {
        "name": name,
        "caption": caption,
        "columns": [str(column) for column in data.columns],
        # pandas turns timestamps and NaN into what JSON can hold.
        "rows": json.loads(data.to_json(orient="records", date_format="iso")),
    }
    _save(f"data/{name}.json", as_json(record))


def footer(**settings: object) -> None:
    """Show, and save, what the notebook ran with.

    The output differs from machine to machine: tag the cell `nbval-ignore-output`.

    Args:
        **settings: As for `environment`.
    """
    facts = environment(**settings)
    items = (
        f"<div><dt>{escape(key)}</dt> <dd>{escape(value)}</dd></div>"
        for key, value in facts.items()
    )
    lines = (f"{key}: {value}" for key, value in facts.items())
    show_html(f"<dl class='facts'>{''.join(items)}</dl>", "\n".join(lines))
    _save("environment.json", as_json(facts))


def show_html(page: str, text: str) -> None:
    """Show HTML where it can be shown and text everywhere else.

    Args:
        page: A fragment of HTML.
        text: The same for a terminal.
    """
    _display({"text/html": page, "text/plain": text})


def save(name: str, record: dict[str, Any]) -> None:
    """Save a record beside the notebook's other results, if results are to be saved.

    Args:
        name: The file's name inside the results folder.
        record: Anything that JSON can hold.
    """
    _save(name, as_json(record))


def as_json(record: object) -> bytes:
    """Write JSON as people like to read and compare it: indented, in UTF-8.

    Args:
        record: Anything that JSON can hold.

    Returns:
        The document, ended by a newline.
    """
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def _lighter(picture: io.BytesIO, alt: str) -> bytes:
    """Return the picture with a palette: a third of the size, and charts lose nothing by it."""
    described = PngInfo()
    described.add_itxt("Description", alt)
    small = io.BytesIO()
    palette = Image.open(picture).convert("RGB").quantize(colors=256, dither=Image.Dither.NONE)
    palette.save(small, format="png", optimize=True, pnginfo=described)
    return small.getvalue()


def _display(bundle: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
    display(bundle, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]  # IPython has none


def _save(name: str, content: bytes) -> None:
    target = folder()
    if target is None:
        return
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ValueError(f"{name!r}: a name has lower case letters, digits, _ and - only")
