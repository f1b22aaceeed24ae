"""What a result was made with: machine and versions."""

import os
import platform
from importlib.metadata import version

PACKAGES = ("booking-lock-lab", "SQLAlchemy", "psycopg", "pandas", "matplotlib", "papermill")


def environment(**settings: object) -> dict[str, str]:
    """Collect what a reader needs in order to repeat or distrust a result.

    Args:
        **settings: Whatever else belongs there: the server's version, seeds, rounds.

    Returns:
        Facts by name: versions, system, cores, then the settings. No paths and no secrets.
    """
    facts = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(cores()),
        "Python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }
    return facts | {name: str(value) for name, value in settings.items()}


def cores() -> int:
    """Return how many cores this process may use; in a container, fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
