"""An error message for columns of text that a model cannot convert to numbers."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import narwhals.stable.v1 as nw
import numpy as np

Fit = TypeVar("Fit", bound=Callable)

_ADVICE = "Columns of X that are not numeric"
_MOST_NAMES = 5


def explain_text(fit: Fit) -> Fit:
    """Let a fit that fails on text name the columns that hold it, and a Pipeline that encodes."""

    @functools.wraps(fit)
    def explained(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return fit(self, X, *args, **kwargs)
        except ValueError as error:
            message = str(error)
            if "could not convert string" not in message or _ADVICE in message:
                raise
            columns = _text_columns(X)
            if not columns:
                raise
            raise ValueError(f"{message}\n{_advice(columns)}") from error

    return explained


def _text_columns(X) -> list:
    """Names or numbers of the columns of a data frame or array that do not hold numbers."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        types = frame.schema.items()
        return [name for name, dtype in types if not dtype.is_numeric() and dtype != nw.Boolean]
    rows = np.asarray(X, dtype=object)
    if rows.ndim != 2:
        return []
    return [j for j, column in enumerate(rows.T) if any(isinstance(cell, str) for cell in column)]


def _advice(columns: list) -> str:
    names = ", ".join(map(repr, columns[:_MOST_NAMES]))
    if len(columns) > _MOST_NAMES:
        names += f" and {len(columns) - _MOST_NAMES} more"
    return (
        f"{_ADVICE}: {names}. Leave them out, or pass a Pipeline that encodes them in place of the"
        " model, such as make_pipeline(make_column_transformer((OneHotEncoder("
        "handle_unknown='ignore'), columns), remainder='passthrough'), model)."
    )
