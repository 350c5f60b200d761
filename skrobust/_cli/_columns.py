"""Columns of a table: which holds the labels, which are features, which say nothing."""

from __future__ import annotations

import dataclasses
import difflib
import re
import warnings

import numpy as np
import pandas as pd

from skrobust._cli._common import CommandError, one_line

# Below this many rows, values that all differ prove nothing.
MIN_ROWS_FOR_UNIQUENESS = 20
NEARLY_UNIQUE = 0.95
LARGEST_NUMBER = 1e18
SURE_NAMES = {"id", "uuid", "guid", "rowid", "pk"}
LIKELY_NAMES = {
    *("key", "index", "idx", "hash", "no", "nr", "num", "number", "ref", "reference", "code"),
    *("serial", "row", "record", "md5", "sha1", "sha256", "token", "barcode", "isbn", "sku"),
}
TIME_NAMES = {"time", "date", "day", "stamp", "timestamp", "epoch", "at", "ts", "year"}


def check_column(name, table, option):
    """Raise unless the table has the column; name the ones that look like it."""
    columns = list(table.typed.columns)
    if name in columns:
        return
    folded = {column.casefold().strip(): column for column in reversed(columns)}
    near = difflib.get_close_matches(name.casefold().strip(), folded, n=3, cutoff=0.6)
    if len(columns) == 1 and name in columns[0]:
        hint = f"the only column is {one_line(columns[0], 60)!r}: is another --sep needed?"
    elif near:
        hint = "did you mean " + " or ".join(repr(folded[match]) for match in near) + "?"
    else:
        shown = ", ".join(repr(one_line(column)) for column in columns[:12])
        hint = f"its columns are {shown}" + (", ..." if len(columns) > 12 else "")
    raise CommandError(f"{option} {name!r} is not a column of {str(table.path)!r}; {hint}")


@dataclasses.dataclass
class Labels:
    """A column of labels, as numbers of classes.

    Attributes
    ----------
    codes : ndarray of shape (n_rows,), int
        Class of each row, -1 where there is no label.
    classes : list
        The labels: int, bool or str, in natural order.
    spellings : list of str
        How the file writes each of them most often.
    read_as_missing : dict of str to int
        Words that were taken for "no label", such as "NA", and how often they occur.
    """

    codes: np.ndarray
    classes: list
    spellings: list
    read_as_missing: dict


def _label_keys(name, table, option):
    """Return the labels of a column as int, bool or str, None where there is none."""
    column = table.typed[name]
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        column = column.astype(dtype.categories.dtype)
        dtype = column.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        raise CommandError(f"{option} {name!r} holds dates; expected classes")
    if pd.api.types.is_float_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        values = pd.to_numeric(column).astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        present = values[~np.isnan(values)]
        broken = present[~(np.isfinite(present) & (present == np.round(present)))]
        if broken.size:
            raise CommandError(
                f"{option} {name!r} holds decimal numbers such as {broken[0]:g}, a measurement and"
                " not a class; expected classes: words or whole numbers"
            )
        return [None if np.isnan(value) else int(value) for value in values]
    keys = []
    for value in column.tolist():
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            keys.append(None)
        elif isinstance(value, str):
            keys.append(value if value.strip() else None)
        elif isinstance(value, (bool, np.bool_)):
            keys.append(bool(value))
        elif isinstance(value, (int, np.integer)):
            keys.append(int(value))
        else:
            kind = type(value).__name__
            raise CommandError(f"{option} {name!r} holds objects of type {kind}; expected classes")
    if len({type(key) for key in keys if key is not None}) > 1:
        keys = [None if key is None else str(key) for key in keys]
    return keys


def read_labels(name, table):
    """Read the column of labels, or say why it is none."""
    check_column(name, table, "--label")
    keys = _label_keys(name, table, "--label")
    classes = sorted({key for key in keys if key is not None})
    n_labelled = sum(key is not None for key in keys)
    if not classes:
        raise CommandError(f"--label {name!r}: no row has a label")
    if len(classes) == 1:
        raise CommandError(
            f"--label {name!r} has one class only, {one_line(classes[0])!r}; expected at least two"
        )
    code_of = {key: code for code, key in enumerate(classes)}
    codes = np.array([-1 if key is None else code_of[key] for key in keys])
    counts = np.bincount(codes[codes >= 0])
    if counts.max() < 2 or len(classes) > max(2, n_labelled / 2):
        raise CommandError(
            f"--label {name!r} has {len(classes)} different labels on {n_labelled} rows: an"
            " identifier, a measurement or free text; expected classes that repeat"
        )

    spellings, read_as_missing = [str(key) for key in classes], {}
    if table.raw is not None:
        cells = table.raw[name].to_numpy()
        groups = pd.Series(cells).groupby(codes)
        for code, group in groups:
            if code >= 0:
                spellings[code] = group.mode().iloc[0]
            else:
                words = group[group.str.strip() != ""].value_counts()
                read_as_missing = {str(word): int(count) for word, count in words.items()}
    return Labels(codes, classes, spellings, read_as_missing)


def read_verified(name, table, labels):
    """Read the labels checked by a person as numbers of the same classes."""
    check_column(name, table, "--verified")
    keys = _label_keys(name, table, "--verified")
    code_of = {key: code for code, key in enumerate(labels.classes)}
    unknown = sorted({str(key) for key in keys if key is not None and key not in code_of})
    if unknown:
        shown = ", ".join(repr(one_line(key)) for key in unknown[:5])
        raise CommandError(
            f"--verified {name!r} holds labels that are none of the {len(labels.classes)} classes"
            f" given: {shown}" + (", ..." if len(unknown) > 5 else "")
        )
    return np.array([-1 if key is None else code_of[key] for key in keys])


@dataclasses.dataclass
class Features:
    """Which columns are used, and why the others are not.

    Attributes
    ----------
    used : list of str
        Columns that features are made of.
    identifiers, constant, empty, unusable : list of str
        Columns left out: by what they look like.
    """

    used: list
    identifiers: list
    constant: list
    empty: list
    unusable: list


def choose_features(table, *, label, verified, drop, keep):
    """Sort the columns into features and those that would only mislead a model."""
    for option, names in (("--drop", drop), ("--keep", keep)):
        for name in names:
            check_column(name, table, option)
            if name == label:
                raise CommandError(f"{option} {name!r} is the column of labels")
    if verified == label:
        raise CommandError(f"--verified {verified!r} is the column of labels")
    both = sorted(set(drop) & set(keep))
    if both:
        raise CommandError(f"{both[0]!r} is given to both --drop and --keep")

    found = Features([], [], [], [], [])
    for name in table.typed.columns:
        if name in {label, verified} or name in drop:
            continue
        column = table.typed[name]
        present = column.dropna()
        try:
            n_distinct = present.nunique()
        except TypeError:
            # Lists and dictionaries, which Parquet allows.
            found.unusable.append(name)
            continue
        blank = not len(present) or (n_distinct == 1 and str(present.iloc[0]).strip() == "")
        if blank:
            found.empty.append(name)
        elif n_distinct == 1 and len(present) == len(column):
            found.constant.append(name)
        elif name not in keep and looks_like_identifier(name, present, n_distinct):
            found.identifiers.append(name)
        else:
            found.used.append(name)
    if not found.used:
        raise CommandError(
            f"{str(table.path)!r} has no column to judge the labels by: besides the label, every"
            " column is dropped, an identifier, constant or empty (see --keep)"
        )
    return found


def _words(name):
    """Split a column name: customerId, customer_id and "Customer ID" give the same words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name))
    return set(re.split(r"[^a-z0-9]+", spaced.lower())) - {""}


def looks_like_identifier(name, present, n_distinct):
    """Tell whether a column names its rows rather than describing them.

    Parameters
    ----------
    name : str
        Name of the column.

    present : Series
        Its values, none missing.

    n_distinct : int
        How many of them differ.

    Returns
    -------
    answer : bool
        Measurements with decimals, dates and free text never do, however unique they are.
    """
    words = _words(name)
    ratio = n_distinct / len(present)
    sure = bool(words & SURE_NAMES)
    likely = sure or bool(words & LIKELY_NAMES)
    many = len(present) >= MIN_ROWS_FOR_UNIQUENESS
    if not many and not sure:
        return False
    if pd.api.types.is_bool_dtype(present.dtype):
        return False
    if pd.api.types.is_numeric_dtype(present.dtype):
        values = present.to_numpy(dtype=float)
        if (values != np.round(values)).any():
            return False
        return _integers_look_like_identifiers(values, words, ratio, sure, likely)
    if not (
        pd.api.types.is_string_dtype(present.dtype)
        or pd.api.types.is_object_dtype(present.dtype)
        or isinstance(present.dtype, pd.CategoricalDtype)
    ):
        return False
    texts = present.astype(str)
    if texts.str.strip().str.contains(r"\s", regex=True).mean() > 0.05 or _are_dates(texts):
        return False
    if texts.str.fullmatch(r"[-+]?[\d.,']+\s?[%€$£]?").mean() > 0.95:
        # Numbers that were not read as such (decimal commas, units): measurements, unless named.
        return ratio >= NEARLY_UNIQUE and likely
    if sure and ratio >= 0.5:
        return True
    if ratio < NEARLY_UNIQUE:
        return False
    codes = texts.str.contains(r"\d|@", regex=True) & ~texts.str.contains("://", regex=False)
    return likely or bool(codes.mean() > 0.9)


def _integers_look_like_identifiers(values, words, ratio, sure, likely):
    if words & TIME_NAMES or _are_day_numbers(values):
        return False
    if sure and ratio >= 0.5:
        return True
    if likely and ratio >= NEARLY_UNIQUE:
        return True
    if ratio < 1:
        return False
    # Without a telling name: a count from first to last row, or long numbers of one length.
    dense = values.max() - values.min() < 2 * len(values)
    counted = bool((np.diff(values) > 0).all() or (np.diff(values) < 0).all())
    lengths = {len(str(int(abs(value)))) for value in (values.min(), values.max())}
    return dense or counted or (len(lengths) == 1 and min(lengths) >= 6)


def _are_day_numbers(values):
    """Tell dates written as 20240131."""
    if values.min() < 19000101 or values.max() > 21001231:
        return False
    month, day = values // 100 % 100, values % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def _are_dates(texts):
    sample = texts.iloc[:: max(1, len(texts) // 50)]
    if not sample.str.contains(r"\d.*[-/.:].*\d", regex=True).all():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parsed = pd.to_datetime(sample, errors="coerce", utc=True)
        except (ValueError, TypeError, OverflowError):
            return False
    return bool(parsed.notna().mean() > 0.95)


def feature_frame(table, names):
    """Return the columns as plain types that every library understands."""
    columns = {}
    for name in names:
        column = table.typed[name]
        dtype = column.dtype
        if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
            values = column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
            # Models compute in float32, where even the square of a number has to be finite.
            columns[name] = np.clip(values, -LARGEST_NUMBER, LARGEST_NUMBER)
        elif pd.api.types.is_datetime64_any_dtype(dtype):
            columns[name] = column
        elif pd.api.types.is_timedelta64_dtype(dtype):
            columns[name] = column.dt.total_seconds()
        else:
            text = column.astype(object)
            columns[name] = [None if pd.isna(cell) else str(cell) for cell in text]
    frame = pd.DataFrame(columns)
    frame.columns = [str(name) or "unnamed" for name in names]
    return frame
