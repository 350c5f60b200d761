"""Labels after a review."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from skrobust.base._labelled_data import decode_labels
from skrobust.inspection._agreement import krippendorff_alpha
from skrobust.inspection._correction_file import Correction, read_corrections
from skrobust.inspection._fingerprint import encode_text, fingerprint, text_of_ids
from skrobust.inspection._flag_precision import clopper_pearson
from skrobust.inspection._report_rows import shorten
from skrobust.utils._typing import LabelsLike

ON_CONFLICT = ("raise", "last", "majority")
_MAX_NAMED = 5


def apply_corrections(
    y: LabelsLike, corrections: Any, *, row_ids: ArrayLike | None = None, on_conflict: str = "raise"
) -> Bunch:
    """Apply the decisions of reviewers to labels.

    The decisions are those of :class:`LabelReport`'s review page. They are refused if they belong
    to other labels, to labels in another order, or to other rows.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        The labels that were reviewed, in the same order. They are not changed.
    corrections : path-like, data frame, or list of such
        Files that reviewers saved, or data frames with the same columns.
    row_ids : array-like of shape (n_samples,), default=None
        Ids of the rows. Where the report was made with ids, those of the corrections must match.
    on_conflict : {"raise", "last", "majority"}, default="raise"
        What to do with a row for which reviewers decided on different labels: raise an error, take
        the decision with the latest time, or the label that most of them chose. A tie leaves the
        row unverified. "unclear" never conflicts with a label.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        labels : ndarray of shape (n_samples,)
            The labels after correction.
        verified_labels : ndarray of shape (n_samples,) of object
            The label of each reviewed row, None for all others. Pass it to ``fit`` with the given
            labels.
        verified_weight : ndarray of shape (n_samples,)
            Number of rows that each verified row represents: 1, and for rows of the random audit
            the number of rows from which they were drawn, divided by the number of those that were
            reviewed. 0 for rows that are not verified.
        report : dict
            Counts of decisions ("n_decisions", "n_right", "n_wrong", "n_unclear", "n_changed"),
            "n_files" and "reviewers"; "alpha", Krippendorff's alpha of the reviewers, None where no
            row has two decisions; "conflicts", a list of dicts of rows on which they differ; and
            the shares of wrong labels with their 90 % intervals among flagged rows
            ("flagged_precision", "flagged_precision_interval") and among rows of the random audit
            ("audit_error_rate", "audit_error_rate_interval"), NaN where there are none.

    Raises
    ------
    ValueError
        If the corrections belong to other data, name an unknown class, are incomplete, or conflict
        where `on_conflict` is "raise".

    See Also
    --------
    LabelReport : The page in which labels are reviewed.

    References
    ----------
    Krippendorff (2004). Content analysis: an introduction to its methodology. Sage.

    Examples
    --------
    >>> import pandas as pd
    >>> from skrobust.inspection import LabelReport, apply_corrections
    >>> from skrobust.detection import ConfidentLearning
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_iris(return_X_y=True)
    >>> detector = ConfidentLearning(GaussianNB()).fit(X, y)
    >>> report = LabelReport.from_detector(detector, X, y)
    >>> decision = {
    ...     "fingerprint": report.fingerprint,
    ...     "n_rows": 150,
    ...     "row": 70,
    ...     "row_id": "",
    ...     "given_label": "1",
    ...     "decision": "wrong",
    ...     "new_label": "2",
    ...     "source": "flagged",
    ...     "sampled_from": "",
    ...     "reviewer": "ann",
    ...     "time": "2026-01-05T10:00:00Z",
    ...     "note": "",
    ... }
    >>> result = apply_corrections(y, pd.DataFrame([decision]))
    >>> int(y[70]), int(result.labels[70]), result.report["n_changed"]
    (1, 2, 1)
    """
    if on_conflict not in ON_CONFLICT:
        raise ValueError(
            f"on_conflict={on_conflict!r} is not known; expected one of {', '.join(ON_CONFLICT)}."
        )
    codes, classes, texts = encode_text(y)
    ids = text_of_ids(row_ids, len(codes))
    found = read_corrections(corrections)
    code_of = {text: code for code, text in enumerate(texts)}
    _check_belonging(found, codes, texts, code_of, ids)
    by_row = defaultdict(list)
    for correction in found:
        by_row[correction.row].append(correction)
    verified = np.full(len(codes), -1, dtype=np.intp)
    conflicts = []
    for row, decisions in by_row.items():
        label, conflict = _settle(decisions, on_conflict)
        if conflict:
            conflicts.append(_describe(row, decisions, label))
        if label is not None:
            verified[row] = code_of[label]
    if conflicts and on_conflict == "raise":
        raise ValueError(_conflict_message(conflicts))
    checked = verified >= 0
    nothing = np.where(checked, verified, -1)
    verified_labels = np.full(len(codes), None, dtype=object)
    verified_labels[checked] = list(decode_labels(nothing[checked], classes))
    return Bunch(
        labels=decode_labels(np.where(checked, verified, codes), classes),
        verified_labels=verified_labels,
        verified_weight=_weights(by_row, verified),
        report=_report(found, by_row, codes, verified, conflicts, corrections),
    )


def _check_belonging(found: list[Correction], codes, texts, code_of, ids) -> None:
    """Refuse decisions about other data."""
    own = fingerprint(codes, texts)
    for correction in found:
        where, row = correction.where, correction.row
        if correction.n_rows != len(codes):
            raise ValueError(
                f"{where}: the corrections are for {correction.n_rows} rows, and y has"
                f" {len(codes)}. They belong to other data."
            )
        if row >= len(codes):
            raise ValueError(f"{where}: row {row} does not exist; y has {len(codes)} rows.")
        given = texts[codes[row]] if codes[row] >= 0 else ""
        if correction.given_label != given:
            raise ValueError(
                f"{where}: the given label of row {row} is {given!r} in y and"
                f" {correction.given_label!r} in the corrections. Either y is in another order or"
                " was changed, or the file was edited, perhaps by a spreadsheet."
            )
        if correction.fingerprint != own:
            raise ValueError(
                f"{where}: the fingerprint of y is {own}, that of the corrections"
                f" {correction.fingerprint}. They belong to other labels, or to these in another"
                " order."
            )
        if ids is not None and correction.row_id and correction.row_id != ids[row]:
            raise ValueError(
                f"{where}: the id of row {row} is {ids[row]!r} in row_ids and"
                f" {correction.row_id!r} in the corrections. The rows were shifted, or a"
                " spreadsheet changed the id."
            )
        if correction.new_label and correction.new_label not in code_of:
            raise ValueError(
                f"{where}: the new label {correction.new_label!r} is none of the"
                f" {len(texts)} classes of y: {name_classes(correction.new_label, texts)}."
            )


def name_classes(word: str, classes: list[str]) -> str:
    """Return the first classes, and those that resemble a word that is none of them."""
    shown = ", ".join(repr(shorten(text, 40)) for text in classes[:_MAX_NAMED])
    shown += ", ..." if len(classes) > _MAX_NAMED else ""
    folded = {text.casefold().strip(): text for text in reversed(classes)}
    near = difflib.get_close_matches(word.casefold().strip(), folded, n=2)
    if not near:
        return shown
    meant = " or ".join(repr(shorten(folded[text], 40)) for text in near)
    return f"{shown} (did you mean {meant}?)"


def _label_of(correction: Correction) -> str | None:
    """Return the label decided on, None for "unclear" and for a row that has no label."""
    if correction.decision == "wrong":
        return correction.new_label
    return correction.given_label or None if correction.decision == "right" else None


def _settle(decisions: list[Correction], on_conflict: str) -> tuple[str | None, bool]:
    """Return the label of a row, and whether reviewers differ."""
    labels = [label for label in map(_label_of, decisions) if label is not None]
    if len(set(labels)) <= 1:
        return (labels[0] if labels else None), False
    if on_conflict == "last":
        latest = max(decisions, key=_time_of)
        return _label_of(latest), True
    (label, count), *others = Counter(labels).most_common()
    return (None if others and others[0][1] == count else label), True


def _time_of(correction: Correction) -> str:
    """Return the time of a decision in a form that sorts."""
    if not correction.time[:4].isdigit() or "T" not in correction.time:
        raise ValueError(
            f"{correction.where}: the time {correction.time!r} is not as it was written, such as"
            " 2026-01-05T10:00:00Z, so that the last decision is not known; use on_conflict="
            '"majority".'
        )
    return correction.time


def _describe(row: int, decisions: list[Correction], label: str | None) -> dict:
    return {
        "row": row,
        "row_id": decisions[0].row_id,
        "given_label": decisions[0].given_label,
        "decisions": [(each.reviewer, _label_of(each) or "unclear") for each in decisions],
        "label": label,
    }


def _conflict_message(conflicts: list[dict]) -> str:
    shown = "; ".join(
        f"row {each['row']}: "
        + ", ".join(f"{label!r} by {who or 'unnamed'}" for who, label in each["decisions"])
        for each in conflicts[:_MAX_NAMED]
    )
    more = ", ..." if len(conflicts) > _MAX_NAMED else ""
    return (
        f"The decisions on {len(conflicts)} rows differ: {shown}{more}. Settle them, or use"
        ' on_conflict="last" or "majority".'
    )


def _weights(by_row: dict, verified: np.ndarray) -> np.ndarray:
    """Return how many rows each verified row represents."""
    weight = np.where(verified >= 0, 1.0, 0.0)
    drawn = {
        row: max(each.sampled_from for each in decisions)
        for row, decisions in by_row.items()
        if verified[row] >= 0 and any(each.source == "audit" for each in decisions)
    }
    for row, sampled_from in drawn.items():
        if sampled_from:
            weight[row] = sampled_from / len(drawn)
    return weight


def _report(found, by_row, codes, verified, conflicts, corrections) -> dict:
    """Count decisions and estimate shares of wrong labels."""
    kinds = Counter(each.decision for each in found)
    ratings = [(each.row, _label_of(each)) for each in found if _label_of(each) is not None]
    changed = (verified >= 0) & (verified != codes)
    report = {
        "n_files": len(corrections) if isinstance(corrections, (list, tuple)) else 1,
        "n_decisions": len(found),
        "n_right": kinds["right"],
        "n_wrong": kinds["wrong"],
        "n_unclear": kinds["unclear"],
        "n_verified": int((verified >= 0).sum()),
        "n_changed": int(changed.sum()),
        "reviewers": sorted({each.reviewer for each in found if each.reviewer}),
        "alpha": krippendorff_alpha(ratings),
        "conflicts": conflicts,
    }
    for source, name in (("flagged", "flagged_precision"), ("audit", "audit_error_rate")):
        rows = [
            row
            for row, decisions in by_row.items()
            if verified[row] >= 0 and any(each.source == source for each in decisions)
        ]
        n_wrong = int(changed[rows].sum()) if rows else 0
        report[f"n_{source}_reviewed"] = len(rows)
        report[name] = n_wrong / len(rows) if rows else np.nan
        report[f"{name}_interval"] = clopper_pearson(n_wrong, len(rows))
    return report
