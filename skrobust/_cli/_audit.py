"""``skrobust audit``: which labels of a table look wrong?"""

from __future__ import annotations

import sys
import warnings

import numpy as np

from skrobust._cli._common import (
    CommandError,
    format_table,
    one_line,
    percent,
    require,
    show_progress,
)

MAX_CLASSES_SHOWN = 30
ADDED = ("label_quality", "is_flagged", "suggested_label")


def run(options):
    """Audit a table: everything that can be wrong with the input is found before any fit."""
    require("pandas", "skrub")
    # These import pandas, which the line above has found.
    from skrobust._cli._columns import choose_features, read_labels, read_verified
    from skrobust._cli._table import check_out, free_names, read_table, write_table

    if options.out is not None:
        check_out(options.out, options.table)
    table = read_table(options.table, encoding=options.encoding, sep=options.sep)
    labels = read_labels(options.label, table)
    verified = None
    if options.verified is not None:
        verified = read_verified(options.verified, table, labels)
    features = choose_features(
        table,
        label=options.label,
        verified=options.verified,
        drop=options.drop,
        keep=options.keep,
    )

    _print_input(options, table, labels, features)
    detector = _fit(options, table, labels, verified, features)
    result = _Result(detector, labels, verified)
    _print_findings(options, table, labels, features, result)
    if options.out is not None:
        names = free_names(list(table.typed.columns), ADDED)
        write_table(options.out, table, dict(zip(names, _added_columns(table, labels, result))))
        print(
            f"\nWrote {one_line(options.out, 200)}: all {len(table.typed)} rows, with the columns"
            f" {', '.join(names)}."
        )


class _Result:
    """What the detector says, in codes of classes.

    Attributes
    ----------
    quality : ndarray of shape (n_rows,)
        NaN where there is no label, or nothing to judge it by.
    flagged : ndarray of shape (n_rows,), bool
    suggested : ndarray of shape (n_rows,), int
        Class, -1 where there is no suggestion.
    noise_rate : float
    """

    def __init__(self, detector, labels, verified):
        self.labelled = labels.codes >= 0
        quality = np.asarray(detector.label_quality_, dtype=float)
        self.quality = np.where(self.labelled, quality, np.nan)
        self.flagged = np.asarray(detector.label_errors_, dtype=bool) & self.labelled
        suggested = np.asarray(detector.suggested_labels_, dtype=object)
        self.suggested = np.array([_code(label) for label in suggested])
        self.noise_rate = float(detector.noise_rate_)
        self.verified = np.zeros(len(quality), bool) if verified is None else verified >= 0
        self.refuted = self.verified & self.labelled
        if verified is not None:
            self.refuted &= verified != labels.codes


def _code(label):
    """Return a suggestion as a class number; -1 for none, however the detector writes that."""
    if label is None or label != label:
        return -1
    return int(label)


def make_detector(kind, *, n_jobs=None, random_state=0):
    """Make the detector, and what turns a table into its features.

    Parameters
    ----------
    kind : {"ensemble", "forest", "logistic", "boosting"}
        What judges the labels. The first two take features that are made once, without looking
        at any label, so that no label leaks into the judgement of its own row. The other two are
        pipelines, fitted anew in each fold.

    n_jobs : int, default=None
        Processes to use.

    random_state : int, default=0
        Seed.

    Returns
    -------
    detector : LabelErrorDetector
        The detector.

    vectorizer : transformer or None
        What makes the features for it; None where the detector takes the table.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from skrub import StringEncoder, TableVectorizer, tabular_pipeline

    from skrobust.detection import ConfidentLearning, EnsembleDetector

    if kind in ("ensemble", "forest"):
        vectorizer = make_pipeline(
            TableVectorizer(high_cardinality=StringEncoder(random_state=random_state)),
            SimpleImputer(strategy="median", add_indicator=True),
        )
        judge = EnsembleDetector if kind == "ensemble" else ConfidentLearning
        return judge(n_jobs=n_jobs, random_state=random_state), vectorizer
    if kind == "logistic":
        classifier = LogisticRegression(max_iter=1000)
    else:
        classifier = HistGradientBoostingClassifier(random_state=random_state)
    pipeline = tabular_pipeline(classifier)
    pipeline.set_params(tablevectorizer__high_cardinality=StringEncoder(random_state=random_state))
    return ConfidentLearning(pipeline, n_jobs=n_jobs, random_state=random_state), None


def _fit(options, table, labels, verified, features):
    """Make the features and fit the detector, with a progress bar where somebody watches."""
    from skrobust._cli._columns import feature_frame
    from skrobust.evidence._progress import report_progress

    X = feature_frame(table, features.used)
    detector, vectorizer = make_detector(
        options.estimator, n_jobs=options.n_jobs, random_state=options.random_state
    )
    with warnings.catch_warnings(record=True) as caught, report_progress(show_progress):
        warnings.simplefilter("always")
        try:
            if vectorizer is not None:
                for _ in show_progress(range(1), 1, "making features"):
                    X = np.asarray(vectorizer.fit_transform(X), dtype=np.float32)
            detector.fit(X, _with_gaps(labels.codes), verified_labels=_with_gaps(verified))
        except (ValueError, TypeError) as error:
            # Whatever the checks above let through is still the table's fault, not the user's.
            raise CommandError(f"cannot audit {str(table.path)!r}: {error}") from error
    _pass_on(caught)
    return detector


def _with_gaps(codes):
    """Return class numbers as a detector takes them: NaN where there is none."""
    if codes is None or (codes >= 0).all():
        return codes
    return np.where(codes >= 0, codes, np.nan)


def _pass_on(caught):
    """Print the warnings that speak of labels; those of the libraries below are not for users."""
    from skrobust.utils import LabelNoiseWarning

    notes = [
        " ".join(str(warning.message).split())
        for warning in caught
        if issubclass(warning.category, LabelNoiseWarning)
    ]
    for note in dict.fromkeys(notes):
        print(f"skrobust: note: {note}", file=sys.stderr)


def _print_input(options, table, labels, features):
    n_rows = len(table.typed)
    n_missing = int((labels.codes < 0).sum())
    print(f"{one_line(table.path, 200)}: {n_rows} rows, {table.typed.shape[1]} columns")
    print(
        f"Labels: column {one_line(options.label)!r}, {len(labels.classes)} classes,"
        f" {n_rows - n_missing} rows labelled, {n_missing} without a label"
    )
    if labels.read_as_missing:
        words = list(labels.read_as_missing.items())[:5]
        shown = ", ".join(f"{one_line(word)!r} ({count})" for word, count in words)
        print(f"  read as no label: {shown}")
    counts = np.bincount(labels.codes[labels.codes >= 0])
    single = [spelling for spelling, count in zip(labels.spellings, counts) if count == 1]
    if single:
        print(f"  one row only, which nothing can be compared with: {_names(single)}")
    print(f"Features: {len(features.used)} columns: {_names(features.used)}")
    for reason, names in (
        ("identifiers", features.identifiers),
        ("constant", features.constant),
        ("empty", features.empty),
        ("not usable (lists or records)", features.unusable),
        ("as asked", options.drop),
    ):
        if names:
            print(f"  left out, {reason}: {_names(names)}")
    print(flush=True)


def _names(names, limit=12):
    shown = ", ".join(one_line(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _print_findings(options, table, labels, features, result):
    n_labelled, n_flagged = int(result.labelled.sum()), int(result.flagged.sum())
    print(f"Estimated share of wrong labels: {percent(result.noise_rate)}")
    print(f"Flagged: {n_flagged} of {n_labelled} labelled rows ({percent(n_flagged, n_labelled)})")
    if options.verified is not None:
        n_checked = int((result.verified & result.labelled).sum())
        print(f"Verified: {n_checked} rows, the label is wrong in {int(result.refuted.sum())}")
    print()
    print(_class_table(labels, result))
    _print_rows(options, table, labels, features, result)
    missing = ~result.labelled
    if missing.any():
        counts = np.bincount(result.suggested[missing & (result.suggested >= 0)])
        order = np.argsort(-counts, kind="stable")
        shown = [f"{one_line(labels.spellings[c])} {counts[c]}" for c in order if counts[c]]
        print(f"\n{int(missing.sum())} rows have no label; suggested: {_names(shown) or 'nothing'}")


def _class_table(labels, result):
    rows, n_flagged = [], []
    for code, spelling in enumerate(labels.spellings):
        of_class = labels.codes == code
        flagged = of_class & result.flagged
        quality = result.quality[of_class & ~np.isnan(result.quality)]
        wishes = np.bincount(result.suggested[flagged & (result.suggested >= 0)])
        count, n_rows = int(flagged.sum()), int(of_class.sum())
        n_flagged.append(count)
        rows.append(
            (
                one_line(spelling),
                str(n_rows),
                str(count),
                percent(count, n_rows),
                f"{quality.mean():.3f}" if quality.size else "-",
                one_line(labels.spellings[wishes.argmax()]) if wishes.size else "-",
            )
        )
    header = ("class", "rows", "flagged", "share", "mean quality", "most often suggested")
    if len(rows) <= MAX_CLASSES_SHOWN:
        return format_table(header, rows, right=(1, 2, 3, 4))
    order = np.argsort(-np.array(n_flagged), kind="stable")[:MAX_CLASSES_SHOWN]
    shown = format_table(header, [rows[code] for code in order], right=(1, 2, 3, 4))
    return f"{shown}\n  and {len(rows) - len(order)} classes with fewer flagged rows"


def _print_rows(options, table, labels, features, result):
    """List the rows to look at first; those a person has looked at are settled."""
    open_rows = result.labelled & ~result.verified & ~np.isnan(result.quality)
    candidates = np.flatnonzero(open_rows)
    order = candidates[np.argsort(result.quality[candidates], kind="stable")][: options.top]
    if not order.size:
        return
    identifier = features.identifiers[0] if features.identifiers else None
    header = ["row", "given", "suggested", "quality", "flagged"]
    right = (0, 3)
    if identifier is not None:
        header.insert(1, one_line(identifier) or "unnamed")
        right = (0, 4)
        source = table.typed if table.raw is None else table.raw
        identifiers = source[identifier].to_numpy(dtype=object)
    rows = []
    for row in order:
        suggestion = result.suggested[row]
        cells = [
            str(row + 1),
            one_line(labels.spellings[labels.codes[row]]),
            "-"
            if suggestion in (-1, labels.codes[row])
            else one_line(labels.spellings[suggestion]),
            f"{result.quality[row]:.3f}",
            "yes" if result.flagged[row] else "",
        ]
        if identifier is not None:
            cells.insert(1, one_line(identifiers[row]))
        rows.append(cells)
    print(f"\nMost suspicious rows (row 1 is the first below the header, {len(order)} shown):")
    print(format_table(header, rows, right=right))


def _added_columns(table, labels, result):
    """Return the three columns to write, the suggestions in the type of the labels."""
    import pandas as pd

    quality = pd.array(result.quality, dtype="Float64")
    quality[np.isnan(result.quality)] = pd.NA
    flagged = pd.array(result.flagged, dtype="boolean")
    if table.raw is not None:
        names = [labels.spellings[code] if code >= 0 else None for code in result.suggested]
        if all(
            type(label) is int and str(label) == spelling
            for label, spelling in zip(labels.classes, labels.spellings)
        ):
            # Only a Parquet file made from text sees the difference.
            names = [None if name is None else int(name) for name in names]
            return quality, flagged, pd.array(names, dtype="Int64")
        return quality, flagged, pd.array(names, dtype="string")
    names = [labels.classes[code] if code >= 0 else None for code in result.suggested]
    kind = type(labels.classes[0])
    dtype = {int: "Int64", bool: "boolean"}.get(kind, "string")
    return quality, flagged, pd.array(names, dtype=dtype)
