"""Rows and columns of any input: values, missing entries, and hashes of rows."""

from __future__ import annotations

import hashlib
import pickle
from types import SimpleNamespace

import narwhals.stable.v1 as nw
import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from skrobust.utils._sklearn import (
    check_feature_names,
    check_n_features,
    num_samples,
    safe_indexing,
)

# So many numbers are hashed at once, such that they fit the second-level cache.
_HASHED_ENTRIES = 1 << 15


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
    """Read any column, masked or not, as its values and the mask of the missing ones."""
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


def _explicit_index(container):
    """The pandas index of a container, None where it has none or just counts the rows."""
    index = getattr(container, "index", None)
    if index is None or callable(index) or not callable(getattr(index, "equals", None)):
        return None
    if type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1):
        return None
    return index


def check_index(reference, container, name: str, *, reference_name: str = "y") -> None:
    """Refuse a series or frame whose index holds that of another one in another order."""
    index, expected = _explicit_index(container), getattr(reference, "index", None)
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


def check_rows_match(y, *, X=None, **columns) -> None:
    """Refuse series and frames whose index is that of y in another order."""
    # X that was shuffled and y that never had an index are taken by position, as scikit-learn does.
    if _explicit_index(y) is not None:
        check_index(y, X, "X")
    for name, column in columns.items():
        check_index(y, column, name)


def _same_entries(one, two) -> bool:
    """Whether two indexes of one length hold the same entries."""
    try:
        return bool(one.sort_values().equals(two.sort_values()))
    except TypeError:  # entries of kinds that do not compare
        return set(one) == set(two)


def read_features(X) -> dict:
    """Number and names of the features of X, None where it has none, as an array of texts.

    Nothing else about X is validated.
    """
    found = SimpleNamespace()
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) == 2:
        check_feature_names(found, X, reset=True)
        is_list = isinstance(X, (list, tuple))
        if not is_list or (X and not isinstance(X[0], str) and np.ndim(X[0])):
            check_n_features(found, X, reset=True)
    return {name: getattr(found, name, None) for name in ("n_features_in_", "feature_names_in_")}


def check_features(estimator, X) -> None:
    """Refuse X whose features are not those that were recorded in ``fit``, if any were."""
    if hasattr(estimator, "feature_names_in_"):
        check_feature_names(estimator, X, reset=False)
    if hasattr(estimator, "n_features_in_"):
        check_n_features(estimator, X, reset=False)


def predict_column(estimator, X) -> np.ndarray:
    """Predict labels or numbers as an array of shape (n_samples,)."""
    values = estimator.predict(X)
    shape = getattr(values, "shape", ())
    return np.asarray(values)[:, 0] if len(shape) == 2 and shape[1] == 1 else values


def is_numeric(X) -> bool:
    """Whether X is a numeric feature matrix: a 2-D array, sparse matrix or DataFrame of numbers."""
    if sparse.issparse(X):
        return X.dtype.kind in "fiub"
    frame = _as_frame(X)
    if frame is not None:
        sparse_kinds = _sparse_kinds(X)
        return all(
            d.is_numeric() or d == nw.Boolean or kind in "fiub"
            for d, kind in zip(frame.schema.values(), sparse_kinds, strict=True)
        )
    if isinstance(X, np.ndarray) and X.dtype.kind != "O":
        return X.ndim == 2 and X.dtype.kind in "fiub"
    array = _numeric_array(X)
    return array is not None and array.ndim == 2


def _sparse_kinds(frame) -> list[str]:
    """Kind of the NumPy type inside each sparse column of a pandas frame, "-" for all others."""
    n_columns = frame.shape[1]
    if not hasattr(frame, "iloc"):
        return ["-"] * n_columns
    inner = [getattr(dtype, "subtype", None) for dtype in frame.dtypes]
    return [
        dtype.kind if isinstance(dtype, np.dtype) and hasattr(outer, "fill_value") else "-"
        for dtype, outer in zip(inner, frame.dtypes, strict=True)
    ]


def _without_sparse_columns(frame):
    """A pandas frame, its sparse columns made dense unless it is a sparse matrix as a whole."""
    kinds = _sparse_kinds(frame)
    if set(kinds) == {"-"} or ("-" not in kinds and all(d.fill_value == 0 for d in frame.dtypes)):
        return frame
    return np.stack([number_column(frame.iloc[:, j], "X") for j in range(len(kinds))], axis=1)


def check_numeric(X, advice: str) -> None:
    """Refuse X that is not a numeric feature matrix."""
    if is_numeric(X):
        return
    try:
        check_array(X, accept_sparse=True, ensure_all_finite=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}\n{advice}") from error
    raise TypeError(f"X is not a numeric feature matrix. {advice}")


def as_numbers(X, dtype):
    """Convert numeric X, missing values included, to a floating-point array or CSR matrix."""
    if sparse.issparse(X):
        X = _with_small_indices(X)
    elif isinstance(X, np.ma.MaskedArray):
        X = X.astype(np.float64).filled(np.nan)
    elif hasattr(X, "iloc") and getattr(X, "ndim", 0) == 2:
        X = _without_sparse_columns(X)
    X = check_array(
        X,
        accept_sparse="csr",
        accept_large_sparse=False,
        dtype=dtype,
        order="C",
        ensure_all_finite=False,
        ensure_min_samples=0,
    )
    if sparse.issparse(X):
        X.indices, X.indptr = X.indices.astype(np.intc), X.indptr.astype(np.intc)
    return X


def is_plain_numeric(X) -> bool:
    """Whether X is a numeric feature matrix, finite or missing."""
    if not is_numeric(X):
        return False
    values = as_numbers(X, np.float64)
    return not np.isinf(values.data if sparse.issparse(values) else values).any()


def first_not_finite(X, rows: np.ndarray) -> int | None:
    """Find the first of some rows that has a missing or infinite value, if X is numeric."""
    if not is_numeric(X):
        return None
    values = as_numbers(safe_indexing(X, rows), np.float64)
    if sparse.issparse(values):
        bad = np.unique(values.nonzero()[0][~np.isfinite(values.data[values.data != 0])])
    else:
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    return int(rows[bad[0]]) if len(bad) else None


def _with_small_indices(X):
    """Number the entries of a sparse matrix by 32 bits, if that is enough."""
    X = X.tocsr()
    small = np.iinfo(np.intc).max
    if X.indices.dtype == X.indptr.dtype == np.intc or max(X.nnz, *X.shape) > small:
        return X
    return type(X)((X.data, X.indices.astype(np.intc), X.indptr.astype(np.intc)), shape=X.shape)


def _as_frame(X):
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    return frame if isinstance(frame, nw.DataFrame) else None


def _numeric_array(X) -> np.ndarray | None:
    """X as an array of numbers, or None."""
    if not isinstance(X, (np.ndarray, list, tuple)) and not hasattr(X, "__array__"):
        return None
    if isinstance(X, (list, tuple)) and (len(X) == 0 or isinstance(X[0], (str, bytes, dict))):
        return None
    try:
        array = np.asarray(X)
        if array.dtype.kind == "O":
            if any(isinstance(value, str) for value in array.ravel()):
                return None  # "1" and "01" are not the same text
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "fiub" else None


def row_hashes(X) -> np.ndarray:
    """Hash each row of X, the same in every process and whatever the other rows are."""
    if sparse.issparse(X):
        return _hash_sparse(X)
    frame = _as_frame(X)
    if frame is not None and set(_sparse_kinds(X)) != {"-"} and is_numeric(X):
        numbers = as_numbers(X, np.float64)
        return _hash_sparse(numbers) if sparse.issparse(numbers) else _hash_dense(numbers)
    if frame is not None:
        hashes = np.zeros(len(frame), dtype=np.uint64)
        for j, column in enumerate(frame.iter_columns()):
            values = column.to_numpy()
            if values.dtype.kind in "fiub":
                hashes += _hash_numbers(values, _salt(j))
            else:
                hashes += mix_words(_hash_objects(column.to_list()) ^ _salt(j))
        return hashes
    array = _numeric_array(X)
    if array is not None and array.ndim >= 1:
        return _hash_dense(array)
    return _hash_objects(X)


def mix_words(words: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words (the finaliser of splitmix64)."""
    words = words ^ (words >> np.uint64(30))
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def salted_hashes(hashes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Hash pairs of a hash and a number, which is no less than -1."""
    return mix_words(hashes ^ mix_words(np.asarray(numbers).astype(np.uint64) + np.uint64(1)))


def _salt(columns) -> np.ndarray:
    """Random words by column, so that swapped values hash differently."""
    numbers = np.asarray(columns, dtype=np.uint64) + np.uint64(1)
    return mix_words(np.atleast_1d(numbers) * np.uint64(0x9E3779B97F4A7C15))


def _hash_numbers(values: np.ndarray, salt: np.ndarray) -> np.ndarray:
    """Hash numbers by value: of whatever type, and such that zeros add nothing to a sum."""
    values = np.where(values == 0, 0.0, values).astype(np.float64, copy=False)
    values[np.isnan(values)] = np.nan  # there are many bit patterns of NaN
    words = mix_words(values.view(np.uint64) ^ salt)
    words[values == 0] = 0
    return words


def _hash_dense(array: np.ndarray) -> np.ndarray:
    n_rows = array.shape[0]
    n_columns = int(np.prod(array.shape[1:], dtype=np.int64))
    salt = _salt(np.arange(n_columns))
    hashes = np.empty(n_rows, dtype=np.uint64)
    length = max(1, _HASHED_ENTRIES // max(n_columns, 1))
    for start in range(0, n_rows, length):
        block = np.asarray(array[start : start + length])
        words = _hash_numbers(block.reshape(len(block), n_columns), salt)
        hashes[start : start + len(block)] = words.sum(axis=1, dtype=np.uint64)
    return hashes


def _hash_sparse(X) -> np.ndarray:
    X = X.tocsr()
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    words = _hash_numbers(X.data, _salt(X.indices))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(words, dtype=np.uint64)])
    return sums[X.indptr[1:]] - sums[X.indptr[:-1]]


def _hash_objects(rows) -> np.ndarray:
    known: dict = {}
    hashes = np.empty(num_samples(rows), dtype=np.uint64)
    for i, row in enumerate(rows):
        try:
            value = known.get(row)
        except TypeError:  # not hashable
            hashes[i] = _hash_object(row)
            continue
        if value is None:
            value = known[row] = _hash_object(row)
        hashes[i] = value
    return hashes


def _hash_object(row) -> int:
    data = row.encode("utf-8", "surrogatepass") if isinstance(row, str) else pickle.dumps(row, 4)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
