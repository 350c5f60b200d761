"""Rows of any input: hashes of rows, and conversion to numeric arrays."""

import hashlib
import pickle

import narwhals.stable.v1 as nw
import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from skrobust.utils._blocks import row_blocks
from skrobust.utils._columns import number_column
from skrobust.utils._sklearn import num_samples


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
    for block in row_blocks(n_rows, 16 * n_columns):
        rows = np.asarray(array[block]).reshape(block.stop - block.start, n_columns)
        hashes[block] = _hash_numbers(rows, salt).sum(axis=1, dtype=np.uint64)
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
