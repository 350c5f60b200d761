"""What the loaders share: argument checks, and reading the files shipped beside this module."""

from __future__ import annotations

import importlib
import io
from importlib.resources import files

import numpy as np


def check_bool(name, value):
    """Raise unless `value` is a boolean: a loader that guesses hides the caller's mistake."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}={value!r} is not a boolean; expected True or False.")


def check_option(name, value, options):
    """Raise unless `value` is one of the strings in `options`."""
    if not isinstance(value, str) or value not in options:
        expected = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name}={value!r} is not known; expected one of {expected}.")


def import_pandas():
    """Import pandas, or raise an error that names the pip command."""
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError(
            'as_frame=True needs pandas; install it with: pip install "skrobust[report]"'
        ) from error


def read_bytes(file_name):
    """Read a shipped file; the package may live in a zip archive, hence importlib.resources."""
    return (files("skrobust.datasets") / "data" / file_name).read_bytes()


def read_text(file_name):
    """Read a shipped UTF-8 text file."""
    return read_bytes(file_name).decode("utf-8")


def read_npz(file_name):
    """Read a shipped archive of arrays into a dictionary, refusing pickled objects."""
    with np.load(io.BytesIO(read_bytes(file_name)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
