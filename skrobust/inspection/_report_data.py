"""The content of a report as plain data, from a fitted detector."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import numpy as np
from sklearn.utils.validation import check_is_fitted

import skrobust
from skrobust.base._labels import encode_labels, encode_labels_like
from skrobust.inspection._fingerprint import encode_text, fingerprint, text_of_ids
from skrobust.inspection._flag_precision import error_proba, flag_precision
from skrobust.inspection._images import holds_images, pack_images
from skrobust.inspection._report_rows import (
    MAX_TEXT,
    as_columns,
    near_duplicates,
    nearest_rows,
    numeric_rows,
    sample_of,
    shorten,
    telling_columns,
)
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import num_samples, safe_indexing

SCHEMA = 1
# So many rows are compared with others, and with so many others.
_MAX_COMPARED, _MAX_OTHERS = 2_000, 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Reviewed:
    """What is known of all rows, in numbers of classes.

    Attributes
    ----------
    codes, suggested, verified : ndarray of shape (n_samples,)
        Given, suggested and verified class; -1 for none.
    classes : list of str
        Text of the classes.
    quality : ndarray of shape (n_samples,)
        NaN where there is none.
    flagged : ndarray of shape (n_samples,) of bool
        Flagged rows that were not verified.
    """

    codes: np.ndarray
    suggested: np.ndarray
    verified: np.ndarray
    classes: list[str]
    quality: np.ndarray
    flagged: np.ndarray


def read_detector(detector, y, verified_labels=None) -> Reviewed:
    """Read the results of a fitted detector and validate that they are those of `y`."""
    check_is_fitted(detector, "label_quality_")
    quality = np.asarray(detector.label_quality_, dtype=float)
    name = type(detector).__name__
    if quality.ndim != 1 or not hasattr(detector, "classes_"):
        raise ValueError(
            f"A report needs a detector of labels that are classes, one per row; {name} scores"
            " others."
        )
    codes, classes, texts = encode_text(y)
    if len(codes) != len(quality):
        raise ValueError(
            f"y has {len(codes)} rows, and {name} was fitted on {len(quality)}: pass the labels of"
            " fit."
        )
    if np.asarray(detector.classes_).tolist() != classes.tolist():
        raise ValueError(f"y has other classes than {name} was fitted on: pass the labels of fit.")
    if not np.array_equal(codes < 0, np.isnan(quality) & (codes < 0)):
        raise ValueError(f"y lacks labels of rows that {name} has scored: pass the labels of fit.")
    suggested = np.full(len(codes), -1)
    if hasattr(detector, "suggested_labels_"):
        suggested = encode_labels_like(
            detector.suggested_labels_, classes, name=f"{name}.suggested_labels_"
        )
    verified = np.full(len(codes), -1)
    if verified_labels is not None:
        verified = encode_labels_like(verified_labels, classes, name="verified_labels")
        if len(verified) != len(codes):
            raise ValueError(
                f"verified_labels has {len(verified)} entries, and y has {len(codes)}."
            )
    flagged = np.asarray(detector.label_errors_, dtype=bool) & (codes >= 0) & (verified < 0)
    return Reviewed(codes, suggested, verified, texts, quality, flagged)


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """The rows of a report in their order.

    Attributes
    ----------
    rows : ndarray of shape (n_listed,)
        Rows to list.
    audit : ndarray of shape (n_listed,) of bool
        Those drawn at random from the rows that are not flagged.
    sampled_from : int
        Number of rows they were drawn from.
    n_left_out : int
        Number of labelled rows that are not listed.
    n_flagged_left_out : int
        Number of flagged ones among these.
    """

    rows: np.ndarray
    audit: np.ndarray
    sampled_from: int
    n_left_out: int
    n_flagged_left_out: int


def choose_rows(seen: Reviewed, max_rows: int, audit_fraction: float, random_state) -> Listing:
    """Choose the rows to list: flagged ones, the audit, and others by rising quality."""
    rng = private_random_state(random_state)
    labelled = np.flatnonzero(seen.codes >= 0)
    quality = np.where(np.isnan(seen.quality), 1.0, seen.quality)
    order = labelled[np.argsort(quality[labelled], kind="stable")]
    flagged = order[seen.flagged[order]]
    others = order[~seen.flagged[order] & (seen.verified[order] < 0)]
    checked = order[seen.verified[order] >= 0]
    n_audit = min(int(np.ceil(audit_fraction * len(others))), max(max_rows // 10, 1))
    n_audit = min(n_audit, len(others)) if audit_fraction > 0 else 0
    drawn = rng.choice(others, n_audit, replace=False) if n_audit else others[:0]
    shown = flagged[: max_rows - n_audit]
    is_drawn = np.isin(others, drawn)
    rest = np.flatnonzero(~is_drawn)[: max(max_rows - len(shown) - n_audit, 0)]
    kept = np.sort(np.concatenate([np.flatnonzero(is_drawn), rest]))
    rows = np.concatenate([shown, others[kept], checked])[:max_rows]
    return Listing(
        rows,
        np.isin(rows, drawn),
        len(others),
        len(labelled) - len(rows),
        len(flagged) - len(shown),
    )


def build_report(
    detector, X, y, *, raw, row_ids, max_rows, title, annotations, verified_labels,
    audit_fraction, n_large, random_state,
) -> tuple[dict, dict | None]:  # fmt: skip
    """Build the content of a report; bad input is refused before any work.

    Returns
    -------
    content : dict
        What :meth:`LabelReport.to_json` writes.
    images : dict or None
        Sprite sheets.
    """
    seen = read_detector(detector, y, verified_labels)
    n_samples = len(seen.codes)
    if X is not None and num_samples(X) != n_samples:
        raise ValueError(f"X has {num_samples(X)} rows, and y has {n_samples}.")
    if raw is not None and num_samples(raw) != n_samples:
        raise ValueError(f"raw has {num_samples(raw)} rows, and y has {n_samples}.")
    ids = text_of_ids(row_ids, n_samples)
    given_by = _read_annotations(annotations, n_samples)
    listing = choose_rows(seen, max_rows, audit_fraction, random_state)
    rows = listing.rows
    near, references, groups = _compare(X, seen, rows)
    shown = np.concatenate([rows, references])
    images, content = _content(raw if raw is not None else X, shown, seen, n_large)
    precision = flag_precision(detector, seen.verified >= 0)
    data = {
        "schema": SCHEMA,
        "skrobust": skrobust.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "title": title,
        "table": None,
        "options": [],
        "detector": type(detector).__name__,
        "fingerprint": fingerprint(seen.codes, seen.classes),
        "counts": {
            "rows": n_samples,
            "labelled": int((seen.codes >= 0).sum()),
            "missing": int((seen.codes < 0).sum()),
            "flagged": int(seen.flagged.sum()),
            "verified": int((seen.verified >= 0).sum()),
            "listed": len(rows),
            "left_out": listing.n_left_out,
            "flagged_left_out": listing.n_flagged_left_out,
        },
        "noise": _noise(detector),
        "precision": {
            "estimate": precision.estimate, "low": precision.low, "high": precision.high,
            "reliability": precision.reliability, "reason": precision.reason,
        },
        "audit": {"rows": int(listing.audit.sum()), "sampled_from": listing.sampled_from},
        "classes": seen.classes,
        "per_class": _per_class(seen, error_proba(detector) if precision.estimate else None),
        "pairs": _pairs(seen),
        "rows": {
            "row": shown.tolist(),
            "id": None if ids is None else [ids[row] for row in shown.tolist()],
            "given": seen.codes[shown].tolist(),
            "suggested": seen.suggested[shown].tolist(),
            "quality": [None if np.isnan(q) else round(q, 4) for q in seen.quality[shown].tolist()],
            "flagged": seen.flagged[shown].astype(int).tolist(),
            "audit": [*listing.audit.astype(int).tolist(), *[0] * len(references)],
            "verified": seen.verified[shown].tolist(),
            "group": groups,
        },
        "row_names": None,
        "content": content,
        "votes": _votes(detector, seen, rows),
        "near": near,
        "annotations": None
        if given_by is None
        else {
            "names": given_by[0],
            "labels": [given_by[1][row] for row in rows.tolist()],
        },
    }  # fmt: skip
    return data, images


def _noise(detector) -> dict:
    rate = getattr(detector, "noise_rate_", None)
    low, high = getattr(detector, "noise_rate_interval_", (None, None))
    reliability = getattr(detector, "reliability_", "limited")
    reason = getattr(detector, "reliability_reason_", "the detector estimates no interval")
    return {
        "rate": None if rate is None else float(rate),
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
        "reliability": reliability,
        "reason": str(reason),
    }


def _per_class(seen: Reviewed, wrong: np.ndarray | None) -> list[dict]:
    """Count rows and flags of each class, with the precision where it can be estimated."""
    n_classes = len(seen.classes)
    labelled = seen.codes >= 0
    n_rows = np.bincount(seen.codes[labelled], minlength=n_classes)
    n_flagged = np.bincount(seen.codes[seen.flagged], minlength=n_classes)
    found = []
    for k in range(n_classes):
        own = seen.flagged & (seen.codes == k)
        precision = float(wrong[own].mean()) if wrong is not None and own.any() else None
        found.append({"rows": int(n_rows[k]), "flagged": int(n_flagged[k]), "precision": precision})
    return found


def _pairs(seen: Reviewed) -> list[list[int]]:
    """Count flagged rows by given and suggested class."""
    rows = seen.flagged & (seen.suggested >= 0)
    pairs = np.stack([seen.codes[rows], seen.suggested[rows]], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    return [[int(given), int(other), int(n)] for (given, other), n in zip(distinct, counts)]


def _votes(detector, seen: Reviewed, rows) -> list | None:
    """Count the models that predict each class, of each listed row."""
    predictions = getattr(detector, "member_predictions_", None)
    if predictions is None or np.ndim(predictions) != 2 or np.shape(predictions)[1] < 2:
        return None
    chosen = np.asarray(predictions)[rows]
    codes = encode_labels_like(
        chosen.ravel(), np.asarray(detector.classes_), name="member_predictions_"
    ).reshape(chosen.shape)
    votes = []
    for own in codes:
        classes, counts = np.unique(own[own >= 0], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        votes.append([[int(classes[j]), int(counts[j])] for j in order])
    return votes


def _compare(X, seen: Reviewed, rows) -> tuple[list | None, np.ndarray, list]:
    """Find near rows of each suspicious row, and near-duplicates among the flagged ones."""
    nothing = np.array([], dtype=int)
    alone = [-1] * len(rows)
    if X is None:
        return None, nothing, alone
    queries = rows[:_MAX_COMPARED]
    candidates = np.flatnonzero((seen.codes >= 0) & ~seen.flagged)
    candidates = sample_of(candidates, _MAX_OTHERS)
    flagged = rows[seen.flagged[rows]][:_MAX_COMPARED]
    # Only these rows are turned into numbers, however many there are.
    used = np.unique(np.concatenate([queries, candidates, flagged]))
    features = numeric_rows(safe_indexing(X, used))
    if features is None:
        return None, nothing, alone
    codes, suggested = seen.codes[used], seen.suggested[used]
    at = np.searchsorted(used, queries), np.searchsorted(used, candidates)
    near = np.array(nearest_rows(features, *at, codes, suggested), dtype=int).reshape(-1, 2)
    near = np.where(near >= 0, used[near], -1)
    groups = near_duplicates(features, np.searchsorted(used, flagged), codes, suggested)
    group_of = dict(zip(flagged.tolist(), groups.tolist()))
    references = np.setdiff1d(np.unique(near[near >= 0]), rows)
    place = {row: number for number, row in enumerate([*rows.tolist(), *references.tolist()])}
    near_places = [[place.get(row, -1) for row in pair] for pair in near.tolist()]
    shown_groups = [group_of.get(row, -1) for row in rows.tolist()]
    return near_places, references, [*shown_groups, *[-1] * len(references)]


def _content(raw, shown, seen: Reviewed, n_large: int) -> tuple[dict | None, dict]:
    """Return images, and the text or the columns of the rows."""
    if raw is None:
        return None, {"kind": "none"}
    columns = as_columns(raw)
    if columns is not None:
        return None, {
            "kind": "fields",
            **telling_columns(columns, shown, seen.codes, seen.suggested, seen.classes),
        }
    if hasattr(raw, "iloc"):
        raw = raw.to_numpy()
    if hasattr(raw, "toarray") or not (hasattr(raw, "__getitem__") or hasattr(raw, "__iter__")):
        return None, {"kind": "none"}
    items = raw if hasattr(raw, "__getitem__") else list(raw)
    if holds_images(items):
        images = pack_images(items, shown, n_large)
        return images, {"kind": "images"}
    texts = ["" if items[row] is None else items[row] for row in shown.tolist()]
    return None, {"kind": "text", "text": [shorten(text, MAX_TEXT) for text in texts]}


def _read_annotations(annotations, n_samples: int) -> tuple[list[str], list] | None:
    """Return names of annotators, and for each row the labels by them."""
    if annotations is None:
        return None
    columns = getattr(annotations, "columns", None)
    array = np.asarray(annotations, dtype=object)
    if array.ndim != 2 or len(array) != n_samples:
        raise ValueError(
            f"annotations must have shape ({n_samples}, n_annotators), got {array.shape}."
        )
    names = [str(name) for name in columns] if columns is not None else []
    names = names or [f"annotator {j}" for j in range(array.shape[1])]
    texts: list[list] = [[] for _ in range(n_samples)]
    for j in range(array.shape[1]):
        codes, classes = encode_labels(array[:, j], name=f"annotations of {names[j]!r}")
        words = [str(label) for label in classes.tolist()]
        for row in np.flatnonzero(codes >= 0).tolist():
            texts[row].append([j, shorten(words[codes[row]], 200)])
    return names, texts
