"""What every benchmark shares: a description of where it ran, one table, one JSON file."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"

LIBRARIES = (
    "skrobust",
    "numpy",
    "scipy",
    "scikit-learn",
    "joblib",
    "narwhals",
    "pandas",
    "cleanlab",
    "torch",
    "skorch",
)


def environment() -> dict:
    """Describe machine, date and versions; nothing that names the host, its user or its paths.

    Returns
    -------
    environment : dict
        Keys "date" (UTC, ISO 8601), "machine", "processor", "cpu_count" (cores this process may
        use), "memory_gb", "system", "python" and "libraries".
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "processor": _processor(),
        "cpu_count": _cpu_count(),
        "memory_gb": _memory_gb(),
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def write_results(
    name: str, rows: Sequence[Mapping], environment: Mapping, *, folder: Path | None = None
) -> Path:
    """Print the rows as one table and write them to ``benchmarks/results/<name>.json``.

    Parameters
    ----------
    name : str
        Name of the benchmark; the file of an earlier run is replaced.
    rows : sequence of mappings
        One mapping per line of the table. Columns appear in the order in which rows bring them.
    environment : mapping
        What `environment` returned.
    folder : path, default=None
        Where to write instead of ``benchmarks/results``.

    Returns
    -------
    path : Path
        The file written.
    """
    rows = [{key: _plain(value) for key, value in row.items()} for row in rows]
    _print_table(name, rows, environment)
    folder = RESULTS if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    record = {"name": name, "environment": dict(environment), "rows": rows}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def _print_table(name: str, rows: list[dict], environment: Mapping) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns] + [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    libraries = " ".join(f"{key} {value}" for key, value in environment["libraries"].items())
    print(f"{name}: {environment['processor']}, {environment['cpu_count']} cores")
    print(f"{environment['date']}, Python {environment['python']}, {libraries}")
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _plain(value):
    """A NumPy scalar or array as what JSON knows."""
    return value.tolist() if hasattr(value, "tolist") else value


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The model name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gb() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    return round(size / 2**30, 1)
