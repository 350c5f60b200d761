"""Columns as other libraries hold or predict them: their values, missing entries and index."""

from __future__ import annotations

import narwhals.stable.v1 as nw
import numpy as np


def is_missing(value) -> bool:
    """Whether a single object stands for a missing entry: None, NaN, NaT or NA."""
    if value is None:
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    if type(value).__name__ == "Decimal":
        return bool(value.is_nan())
    return type(value).__name__ in ("NAType", "NaTType", "MaskedConstant")


def split_column(column, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a column without a detour through floating-point numbers.

    Parameters
    ----------
    column : array-like of shape (n_samples,) or (n_samples, 1)
        NumPy arrays (a mask counts), lists, and columns of pandas, polars and pyarrow.
    name : str
        Name of the column in messages.

    Returns
    -------
    values : ndarray of shape (n_samples,) or (n_samples, 1)
        Of the type that the present entries have; entries under `missing` are arbitrary.
    missing : ndarray of the same shape, dtype bool
        Missing entries: masked ones, None, NaN, NaT, NA.
    """
    if hasattr(column, "toarray"):
        raise TypeError(
            f"A sparse matrix was passed as {name}, but dense data is required. Use"
            f" {name}.toarray() to convert it to a dense array."
        )
    if isinstance(column, np.ma.MaskedArray):
        values, missing = _split_array(np.ma.getdata(column))
        return values, missing | np.ma.getmaskarray(column)
    if isinstance(column, np.ndarray):
        return _split_array(column)
    if isinstance(column, (list, tuple)):
        if any(is_missing(value) for value in column):
            # NumPy would turn ["a", nan] into text that reads "nan".
            values = np.empty(len(column), dtype=object)
            values[:] = [None if is_missing(value) else value for value in column]
            return _split_array(values)
        return _split_array(np.asarray(column))
    inner = _as_series(column)
    if inner is None:
        return _split_array(np.asarray(column))
    missing, take_present = inner
    present, still_missing = _split_array(take_present(~missing))
    if not missing.any():
        return present, still_missing
    values = np.zeros(len(missing), dtype=present.dtype)
    values[~missing] = present
    missing = missing.copy()
    missing[~missing] = still_missing
    return values, missing


def complete_column(column, name: str):
    """A column as an array, or as it is where NumPy reads it; missing entries are refused."""
    is_masked = isinstance(column, np.ma.MaskedArray)
    if column is None or not (is_masked or _as_series(column) is not None):
        return column
    values, missing = split_column(column, name)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise ValueError(
            f"Input {name} contains NaN or another missing entry, the first of"
            f" {int(missing.sum())} in row {row}."
        )
    return values


def float_column(values, name: str) -> np.ndarray:
    """One number for each row, as float64."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"{name} must hold one number for each row, got an array of shape {values.shape}."
        )
    return values


def number_matrix(container, name: str):
    """A data frame or masked array of numbers as floats, NaN where missing; others as they are."""
    if isinstance(container, np.ma.MaskedArray):
        if container.dtype.kind not in "fiub":
            raise ValueError(f"{name} must be numbers, got an array of {container.dtype}.")
        floats = container.astype(np.result_type(container.dtype, np.float32))
        return floats.filled(np.nan)
    columns = frame_columns(container)
    if columns is None:
        return container
    if hasattr(container, "dtypes") and all(isinstance(d, np.dtype) for d in container.dtypes):
        return np.asarray(container)  # pandas with NumPy inside: perhaps without a copy
    columns = [number_column(column, name) for column in columns]
    return np.stack(columns, axis=1) if columns else np.empty((len(container), 0))


def frame_columns(container) -> list | None:
    """The columns of a data frame; None for anything else."""
    if hasattr(container, "iloc"):  # pandas, whose names may be equal
        if getattr(container, "ndim", 0) != 2:
            return None
        return [container.iloc[:, j] for j in range(container.shape[1])]
    frame = nw.from_native(container, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return None
    return [column.to_native() for column in frame.iter_columns()]


def number_column(column, name: str) -> np.ndarray:
    """A column of numbers as floats with NaN where missing; float32 stays float32."""
    values, missing = split_column(column, name)
    if values.dtype.kind == "O":
        try:
            if any(isinstance(value, (str, bytes)) for value in values[~missing]):
                raise ValueError  # "1e3" may be a name
            values = np.where(missing, np.nan, values).astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be numbers, got a column of objects.") from None
    elif values.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be numbers, got a column of {values.dtype}.")
    values = values.astype(np.float32 if values.dtype == np.float32 else np.float64)
    values[missing] = np.nan
    return values


def _split_array(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kind = values.dtype.kind
    if kind in "fc":
        return values, np.isnan(values)
    if kind in "mM":
        return values, np.isnat(values)
    if kind == "T":
        values = values.astype(object)
    if values.dtype.kind == "O":
        missing = np.fromiter(map(is_missing, values.ravel()), bool, values.size)
        return values, missing.reshape(values.shape)
    return values, np.zeros(values.shape, dtype=bool)


def _as_series(column):
    """Mask of the missing entries of a column, and a function that takes the others; or None."""
    if callable(getattr(column, "isna", None)) and getattr(column, "ndim", 1) == 1:  # pandas
        missing = np.asarray(column.isna(), dtype=bool)
        array = getattr(column, "array", column)
        return missing, lambda rows: _naive(array if rows.all() else array[rows])
    if callable(getattr(column, "is_null", None)) and hasattr(column, "drop_null"):  # pyarrow
        missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
        return missing, lambda _: np.asarray(_arrow_values(column.drop_null()))
    columns = frame_columns(column)
    if columns is not None:
        return _as_series(columns[0]) if len(columns) == 1 else None
    series = nw.from_native(column, allow_series=True, eager_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
        return missing, lambda _: np.asarray(series.drop_nulls().to_numpy())
    return None


def _arrow_values(array):
    return array.to_numpy() if hasattr(array, "chunks") else array.to_numpy(zero_copy_only=False)


def _naive(array) -> np.ndarray:
    """The values of a pandas array, times with a zone as NumPy times in UTC."""
    if getattr(array.dtype, "tz", None) is not None:
        array = array.tz_convert("UTC").tz_localize(None)
    return np.asarray(array)


def check_exact(values: np.ndarray, name: str) -> None:
    """Refuse whole floats so large that neighbouring integers are the same float."""
    if values.dtype.kind != "f" or values.size == 0:
        return
    limit = 2.0 ** (np.finfo(values.dtype).nmant + 1)
    large = np.abs(values) > limit
    if large.any():
        digits = np.finfo(values.dtype).nmant + 1
        raise ValueError(
            f"{name} holds {values[large][0]:.0f} as a floating-point number ({values.dtype})."
            f" Above 2**{digits} these do not tell neighbouring integers apart: pass integers,"
            ' nullable integers (pandas: dtype="Int64") where entries are missing, or text.'
        )


def explicit_index(container):
    """The pandas index of a container, None where it has none or just counts the rows."""
    index = getattr(container, "index", None)
    if index is None or callable(index) or not callable(getattr(index, "equals", None)):
        return None
    if type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1):
        return None
    return index


def check_index(reference, container, name: str, *, reference_name: str = "y") -> None:
    """Refuse a series or frame whose index is that of another one in another order.

    Parameters
    ----------
    reference : array-like
        Rows in the order that counts.
    container : array-like or None
        What must be in the same order.
    name : str
        Name of `container` in messages.
    reference_name : str
        Name of `reference` in messages.

    Raises
    ------
    ValueError
        If both have an index with the same entries, in another order, and that of `container`
        does not merely count its rows.
    """
    index, expected = explicit_index(container), getattr(reference, "index", None)
    if index is None or not callable(getattr(expected, "equals", None)):
        return
    if len(index) != len(expected) or index.equals(expected):
        return
    if _same_entries(index, expected):
        raise ValueError(
            f"The index of {name} holds the entries of the index of {reference_name} in another"
            f" order. Rows are matched by position: pass {name}.loc[{reference_name}.index], or"
            f" {name}.to_numpy() if the order is right as it is."
        )


def _same_entries(one, two) -> bool:
    """Whether two indexes of one length hold the same entries."""
    try:
        return bool(one.sort_values().equals(two.sort_values()))
    except TypeError:  # entries of kinds that do not compare
        return set(one) == set(two)


def predict_column(estimator, X) -> np.ndarray:
    """Predict labels or numbers as an array of shape (n_samples,)."""
    values = estimator.predict(X)
    shape = getattr(values, "shape", ())
    return np.asarray(values)[:, 0] if len(shape) == 2 and shape[1] == 1 else values
