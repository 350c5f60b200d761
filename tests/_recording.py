"""Write results as plain values, keep them in one compressed file, and compare them.

Floats are kept to 14 digits below the largest of their array, everything else as it is.
"""

import contextlib
import dataclasses
import gzip
import json
import math
import platform
import sys
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy import sparse
from threadpoolctl import threadpool_info

FILE = Path(__file__).parent / "recorded_answers.json.gz"
RELATIVE_TOLERANCE = 1e-12
_DIGITS = 14
# Times, sentences, and models whose predictions are recorded instead.
_LEFT_OUT = {"seconds", "dur", "reliability_reason_", "estimators_", "net_", "module_"}


def software() -> dict[str, str]:
    """What numbers depend on: versions, and the instructions that the linear algebra uses."""
    kernels = {info.get("architecture", "") for info in threadpool_info()}
    found = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": f"{sys.platform} {platform.machine()}",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "sklearn": sklearn.__version__,
        "kernels": ", ".join(sorted(kernels - {""})),
    }
    with contextlib.suppress(ImportError):
        import torch

        found["torch"] = torch.__version__.partition("+")[0]
    return found


def plain(value, *, depth: int = 4) -> dict:
    """Numbers, texts and arrays inside a value, by a path of keys; other objects are left out."""
    found = {}
    _collect(value, "", depth, found)
    return found


def _collect(value, path: str, depth: int, found: dict) -> None:
    """Add a value to `found`, or what is inside it."""
    inside = _inside(value)
    if inside is None:
        if (encoded := _encode(value)) is not None:
            found[path] = encoded
    elif depth > 0:
        for key, item in inside.items():
            if key not in _LEFT_OUT:
                _collect(item, f"{path}.{key}" if path else str(key), depth - 1, found)


def _inside(value) -> dict | None:
    """The parts of a container or of a public object of this package; None for anything else."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not _is_flat(value):
        return {str(i): item for i, item in enumerate(value)}
    if not type(value).__module__.startswith("skrobust"):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "get_params") or hasattr(value, "partial_fit"):
        return fitted_attributes(value)
    return None


def _is_flat(value) -> bool:
    """Whether all entries are texts, or all are numbers."""
    scalar = (bool, int, float, str, type(None), np.generic)
    return all(isinstance(item, scalar) for item in value)


def fitted_attributes(estimator) -> dict:
    """The public attributes whose names end in an underscore."""
    found = {}
    for name in dir(estimator):
        if name.endswith("_") and not name.startswith("_"):
            with contextlib.suppress(AttributeError):
                if name not in _LEFT_OUT:
                    found[name] = getattr(estimator, name)
    return found


def _encode(value):
    """A value that JSON can hold, or None for an object that is not recorded."""
    if value is None or isinstance(value, (bool, str)):
        return {"value": value}
    if isinstance(value, np.random.RandomState):
        return None
    if sparse.issparse(value):
        value = value.toarray()
    elif hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if not isinstance(value, (np.ndarray, np.generic, int, float, list, tuple)):
        return None
    array = np.asarray(value)
    if array.dtype.kind == "O" and not _is_flat(array.ravel().tolist()):
        return None
    encoded = {"kind": array.dtype.kind, "shape": list(array.shape)}
    if array.dtype.kind == "f":
        encoded["values"] = _rounded(array.ravel().astype(np.float64))
    else:
        values = array.ravel().tolist()
        encoded["values"] = [v.item() if isinstance(v, np.generic) else v for v in values]
    return encoded


def _scale(values) -> float:
    """The largest finite magnitude; 1.0 if there is none."""
    values = np.asarray(values, dtype=np.float64)
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def _rounded(values: np.ndarray) -> list[float]:
    decimals = _DIGITS - math.floor(math.log10(_scale(values)))
    return [round(v, decimals) if abs(decimals) < 300 else v for v in values.tolist()]


def differences(recorded: Mapping, found: Mapping) -> list[str]:
    """One line for each entry of a case that differs."""
    lines = [f"{key}: no longer there" for key in recorded if key not in found]
    lines += [f"{key}: new" for key in found if key not in recorded]
    for key in recorded:
        if key in found and (line := _difference(recorded[key], found[key])):
            lines.append(f"{key}: {line}")
    return lines


def _difference(recorded, found) -> str | None:
    """How a value differs from the recorded one, or None if it does not."""
    exact = not isinstance(recorded, dict) or recorded.get("kind") != "f"
    if exact or not isinstance(found, dict) or found.get("kind") != "f":
        return None if recorded == found else f"recorded {_short(recorded)}, found {_short(found)}"
    if recorded["shape"] != found["shape"]:
        return f"recorded shape {recorded['shape']}, found {found['shape']}"
    old, new = (np.array(entry["values"], dtype=np.float64) for entry in (recorded, found))
    close = np.isclose(old, new, rtol=0, atol=RELATIVE_TOLERANCE * _scale(old), equal_nan=True)
    if close.all():
        return None
    at = int(np.flatnonzero(~close)[0])
    return (
        f"{np.count_nonzero(~close)} of {close.size} differ, first [{at}]: {old[at]!r}, {new[at]!r}"
    )


def _short(value) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def as_recorded(cases: Mapping) -> dict:
    """The same values after a way through the file."""
    return json.loads(json.dumps(cases))


def read() -> dict:
    """The recorded results: `software`, and `results` by unit and case."""
    with gzip.open(FILE, "rt", encoding="utf-8") as file:
        return json.load(file)


def write(results: Mapping, keep: Collection[str] = ()) -> None:
    """Write the results, with those of other units of the file that are to be kept."""
    if not set(keep) <= set(results):
        results = _with_others(results, keep)
    text = json.dumps({"software": software(), "results": results}, separators=(",", ":"))
    FILE.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))


def _with_others(results: Mapping, keep: Collection[str]) -> dict:
    """Results in the order of `keep`, taken from the file where they were not recorded anew."""
    file = read()
    if file["software"] != software():
        raise RuntimeError(
            f"The other results were recorded with {file['software']}, not with {software()}:"
            " install the versions of constraints.txt, or record all units."
        )
    known = {**file["results"], **results}
    return {unit: known[unit] for unit in keep if unit in known}


@contextlib.contextmanager
def one_thread():
    """Let torch use one thread, and be silent about labels that look bad."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
