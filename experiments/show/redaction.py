"""Nothing that is published tells where this machine keeps its files or how to reach a database.

Tracebacks, warnings and papermill's own notes are full of absolute paths, and an error in a
connection may quote a URL. A report is passed on to people who should see neither, so all
text on its way into one goes through here. What is taken out leaves an ellipsis.
"""

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

GONE = "…"
URL_VARIABLES = ("BOOKING_DATABASE_URL", "BOOKING_LAB_SERVER")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - searched for, not written to

_DATABASE_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://[^\s'\"<>`\\]+", re.IGNORECASE)
_PASSWORD_SETTING = re.compile(r"\b(password=|PGPASSWORD=)[^\s,)&]+", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Redactor:
    """Takes this machine's paths and secrets out of text."""

    def __init__(self, *folders: Path, environment: Mapping[str, str] = os.environ) -> None:
        """Learn what has to go.

        Args:
            *folders: Folders besides the usual ones: the project's, Python's, the user's home
                and the temporary ones.
            environment: Where database URLs and passwords are found.
        """
        roots = {
            *folders,
            Path(__file__).parents[2],
            Path.cwd(),
            Path.home(),
            *map(Path, (sys.prefix, sys.base_prefix, tempfile.gettempdir(), *TEMPORARY)),
        }
        self._paths = _any_of(_spellings(roots), r"(?![\w-])")
        self._secrets = _any_of(_secrets(environment), r"(?!\w)", before=r"(?<!\w)")

    def text(self, text: str) -> str:
        """Take paths and secrets out of a text.

        Args:
            text: Any text, also JSON or CSV.

        Returns:
            The same text with an ellipsis in their places, and without terminal colours,
            which may run through the middle of a path.
        """
        text = _COLOUR.sub("", text)
        text = _DATABASE_URL.sub(GONE, text)
        text = _PASSWORD_SETTING.sub(rf"\1{GONE}", text)
        text = self._secrets.sub(GONE, text)
        return self._paths.sub(GONE, text)

    def document(self, value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
        """Take paths and secrets out of every text inside a document, such as a notebook.

        Args:
            value: A document as JSON has it: dicts, lists, text, numbers.

        Returns:
            A copy without them. Pictures are left alone: in base64 anything might look like
            a path.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.document(element) for element in value]
        if isinstance(value, dict):
            return {
                key: element
                if key.startswith("image/") and isinstance(element, str)
                else self.document(element)
                for key, element in value.items()
            }
        return value


def _spellings(roots: set[Path]) -> set[str]:
    # IPython shortens paths below the home folder to ~/..., and a temporary folder may be a link.
    both = {path for root in roots for path in (root, root.resolve())}
    home = Path.home()
    tilded = {
        f"~/{path.relative_to(home)}" for path in both if path != home and path.is_relative_to(home)
    }
    return {str(path) for path in both if path.parts[1:]} | tilded


def _secrets(environment: Mapping[str, str]) -> set[str]:
    secrets = {environment.get("PGPASSWORD", "")}
    for url in filter(None, map(environment.get, URL_VARIABLES)):
        parts = urlsplit(url)
        secrets.add(url)
        # A password that is also the user's or the database's name can't be told from prose.
        named = {parts.username, parts.path.strip("/"), "postgres", "password"}
        secrets |= {parts.password or "", unquote(parts.password or "")} - named
    return secrets - {""}


def _any_of(literals: set[str], after: str, before: str = "") -> re.Pattern[str]:
    # The longest first: a folder inside another must not leave its own name behind.
    choices = "|".join(re.escape(literal) for literal in sorted(literals, key=len, reverse=True))
    return re.compile(f"{before}(?:{choices}){after}" if choices else r"(?!)")
