"""Outputs of fitted estimators, and their comparison."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor

from skrobust.base._label_estimator import label_tags
from skrobust.testing._estimators import labels_of, part_of, silence_label_warnings
from skrobust.testing._problems import Array

Outputs = dict[str, Array]

# Numerical solvers stop early, at a point that depends on the order of rows and classes.
TOLERANCE = 1e-4
TARGET_TOLERANCE = 1e-5
# Scores come to ten times as much where classes are well apart.
PROBA_TOLERANCE = 1e-3
# Outputs that depend on chance are compared over a few seeds, and in case of doubt over many.
N_SEEDS = (6, 20)
# No doubt, and too much: root mean square of the differences of entries, and the difference of
# their total, in standard errors. By chance, the first is about 1.
NO_DOUBT, TOO_MUCH = (1.3, 1.5), (2, 3)
ROW_OUTPUTS = ("label_quality_", "label_errors_", "keep_weight_", "sample_weight_")
TARGET_ROW_OUTPUTS = (
    "predictions_",
    "residuals_",
    "uncertainty_",
    "entry_quality_",
    "entry_errors_",
)
CLASS_OUTPUTS = ("transition_matrix_", "class_prior_")
TOTAL_OUTPUTS = ("noise_rate_", "threshold_")
# Labels, where these are classes.
LABEL_OUTPUTS = ("suggested_labels_", "predict", "classes_")


def outputs_of(fitted: Any, X_new: Any = None) -> Outputs:
    """Collect fitted attributes, and predictions of `X_new` by a classifier or regressor."""
    part = part_of(fitted)
    has_classes = labels_of(fitted) == "classes"
    names = (*ROW_OUTPUTS, "suggested_labels_", *CLASS_OUTPUTS, *TOTAL_OUTPUTS)
    outputs = {}
    for name in names if has_classes else (*names, *TARGET_ROW_OUTPUTS):
        value = getattr(part, name, None)
        if value is not None:
            # Bools, or float32, compare as floats.
            keep_type = has_classes and name == "suggested_labels_"
            outputs[name] = np.array(value) if keep_type else np.array(value, dtype=np.float64)
    if has_classes:
        outputs["classes_"] = np.array(part.classes_)
    if X_new is not None and (is_classifier(fitted) or is_regressor(fitted)):
        outputs["predict"] = np.array(fitted.predict(X_new))
        if hasattr(fitted, "predict_proba"):
            outputs["predict_proba"] = np.array(fitted.predict_proba(X_new), dtype=np.float64)
    return outputs


def take_rows(outputs: Outputs, rows: Array) -> Outputs:
    """Rearrange, or select from, the rows of outputs."""
    names = (*ROW_OUTPUTS, *TARGET_ROW_OUTPUTS, "suggested_labels_")
    return {key: value[rows] if key in names else value for key, value in outputs.items()}


def rename(outputs: Outputs, names: dict[Any, Any]) -> Outputs:
    """The same outputs with classes renamed, and in the order of the new names."""
    renamed = dict(outputs)
    classes = np.array([names[label] for label in outputs["classes_"].tolist()])
    order = np.argsort(classes)
    renamed["classes_"] = classes[order]
    for key in ("suggested_labels_", "predict"):
        if key in outputs:
            renamed[key] = np.array([names.get(label) for label in outputs[key].tolist()])
    if "predict_proba" in outputs:
        renamed["predict_proba"] = outputs["predict_proba"][:, order]
    if "transition_matrix_" in outputs:
        renamed["transition_matrix_"] = outputs["transition_matrix_"][np.ix_(order, order)]
    if "class_prior_" in outputs:
        renamed["class_prior_"] = outputs["class_prior_"][order]
    return renamed


def assert_same(
    first: Outputs, second: Outputs, what: str, *, tolerance: float | None = None
) -> None:
    """Assert that `what` changes no output; numbers may differ by the tolerance."""
    assert first.keys() == second.keys(), (
        f"{what}: attributes differ, {sorted(first)} and {sorted(second)}."
    )
    has_classes = "classes_" in first
    for name, value in first.items():
        other = second[name]
        assert value.shape == other.shape, f"{what}: the shape of {name} differs."
        if has_classes and name in LABEL_OUTPUTS:
            wrong = np.array([a != b for a, b in zip(value.tolist(), other.tolist(), strict=True)])
            assert not wrong.any(), f"{what}: {name} differs in {wrong.sum()} entries."
        elif name == "label_errors_":
            n_wrong = int((value != other).sum())
            assert not n_wrong, f"{what}: {name} differs in {n_wrong} rows."
        else:
            limit = tolerance
            if limit is None:
                limit = TOLERANCE if has_classes else TARGET_TOLERANCE
                limit = PROBA_TOLERANCE if name == "predict_proba" else limit
            np.testing.assert_allclose(
                value, other, rtol=limit, atol=limit, err_msg=f"{what}: {name} differs."
            )


def assert_same_over_seeds(
    estimator: Any, first: Callable[[int], Outputs], second: Callable[[int], Outputs], what: str
) -> None:
    """Compare two functions of a seed, in the mean if the estimator depends on chance."""
    ones: list[Outputs] = [first(0)]
    others: list[Outputs] = []
    try:
        assert_same(ones[0], second(0), what)
        return
    except AssertionError:
        if label_tags(estimator).exact_outputs:
            raise
    gaps = {}
    for n_seeds in N_SEEDS:
        ones += [first(seed) for seed in range(len(ones), n_seeds)]
        others += [second(seed + N_SEEDS[-1]) for seed in range(len(others), n_seeds)]
        gaps = {
            name: _gap_of_means(
                np.stack([outputs[name] for outputs in ones]),
                np.stack([outputs[name] for outputs in others]),
            )
            for name in ("label_quality_", "sample_weight_", "transition_matrix_", "predict_proba")
            if name in ones[0]
        }
        if all(np.less_equal(gap, NO_DOUBT).all() for gap in gaps.values()):
            return
    for name, gap in gaps.items():
        assert np.less_equal(gap, TOO_MUCH).all(), (
            f"{what}: {name} differs by more than chance, over {N_SEEDS[-1]} seeds: its entries"
            f" by {gap[0]:.1f} standard errors on average, their total by {gap[1]:.1f}."
        )


def _gap_of_means(one: Array, other: Array) -> tuple[float, float]:
    """Differences of means over the first axis in standard errors: of entries, and their total."""
    known = ~np.isnan(one).any(axis=0) & ~np.isnan(other).any(axis=0)
    one, other = one[:, known], other[:, known]

    def gap(first: Array, second: Array) -> Array:
        error = np.sqrt((first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1)) / len(first))
        return (first.mean(axis=0) - second.mean(axis=0)) / np.maximum(error, TOLERANCE)

    of_entries = np.sqrt(np.mean(gap(one, other) ** 2))
    return float(of_entries), float(abs(gap(one.mean(axis=1), other.mean(axis=1))))


def assert_raises(
    kinds: type[Exception] | tuple[type[Exception], ...],
    words: Iterable[str],
    call: Callable[[], Any],
    what: str,
) -> None:
    """Assert that a call raises an error whose message has one of some words."""
    try:
        with silence_label_warnings():
            call()
    except kinds as error:
        text = str(error)
    else:
        raise AssertionError(f"{what}: no error was raised.")
    found = any(word.lower() in text.lower() for word in words)
    assert found, (
        f"{what}: the message has none of {', '.join(map(repr, words))}, but reads: {text}"
    )


def rank_auc(score: Array, positive: Array) -> float:
    """Area under the ROC curve; rows with a score of NaN are left out."""
    known = ~np.isnan(score)
    _, group, counts = np.unique(score[known], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    positive = positive[known]
    n_positive, n_negative = positive.sum(), (~positive).sum()
    if n_positive == 0 or n_negative == 0:
        return 0.0
    return (ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def assert_equal_in_groups(values: Array, group: Array, name: str, rtol: float = 1e-9) -> None:
    """Assert that rows of one group have equal values."""
    values = values.astype(float)
    last = np.empty(group.max() + 1)
    last[group] = values
    np.testing.assert_allclose(
        values, last[group], rtol=rtol, err_msg=f"{name} differs between equal rows."
    )
