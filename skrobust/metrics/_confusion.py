"""Metrics that are functions of a confusion matrix, and their gradients."""

import dataclasses
from collections.abc import Callable

import numpy as np

from skrobust.base._labels import encode_labels, encode_labels_like

# Relative step of the central differences.
_STEP = 1e-4


@dataclasses.dataclass(frozen=True)
class ConfusionMetric:
    """A function of the confusion matrix.

    Attributes
    ----------
    name : str
        Name, for messages and results.
    marginal : callable or None
        The metric as a function of the diagonal, the row sums and the column sums.
    general : callable or None
        The metric as a function of the whole matrix, where it does not depend on these alone.
    bounds : tuple of float
        Smallest and largest value.
    greater_is_better : bool
        False for costs.
    """

    name: str
    marginal: Callable | None = None
    general: Callable | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    greater_is_better: bool = True

    def __call__(self, counts: np.ndarray) -> float:
        """Evaluate on a confusion matrix, rows true classes."""
        if self.marginal is None:
            return float(self.general(counts))
        return float(self.marginal(counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)))

    def gradient(self, counts: np.ndarray) -> np.ndarray:
        """Derivatives by the entries of the matrix, by central differences."""
        if self.marginal is None:
            return _entry_gradient(self.general, counts)
        parts = [counts.diagonal().copy(), counts.sum(axis=1), counts.sum(axis=0)]
        slopes = []
        for place, part in enumerate(parts):
            slope = np.zeros(len(part))
            # A class that does not occur has no derivative: it would enter the mean over classes.
            for k in np.flatnonzero(parts[1] > 0 if place == 0 else part > 0):
                step = _STEP * (parts[1][k] if place == 0 else part[k])
                values = []
                for sign in (1, -1):
                    moved = list(parts)
                    moved[place] = part.copy()
                    moved[place][k] += sign * step
                    values.append(self.marginal(*moved))
                slope[k] = (values[0] - values[1]) / (2 * step)
            slopes.append(slope)
        gradient = slopes[1][:, None] + slopes[2][None, :]
        gradient[np.diag_indices_from(gradient)] += slopes[0]
        return gradient


def _entry_gradient(function: Callable, counts: np.ndarray) -> np.ndarray:
    """Derivatives by each entry; one-sided at zero."""
    gradient = np.zeros(counts.shape)
    least = 1e-6 * max(counts.sum(), 1e-300)
    for place in np.ndindex(counts.shape):
        up, down = counts.copy(), counts.copy()
        step = max(_STEP * counts[place], least)
        up[place] += step
        down[place] = max(down[place] - step, 0.0)
        gradient[place] = (function(up) - function(down)) / (up[place] - down[place])
    return gradient


def _ratio(numerator, denominator):
    """Divide, with 0 where the denominator is not positive."""
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, 0.0)


def _accuracy(right, true, predicted):
    return right.sum() / true.sum()


def _balanced_accuracy(right, true, predicted):
    return _ratio(right, true)[true > 0].mean()


def _geometric_mean(right, true, predicted):
    recalls = np.clip(_ratio(right, true)[true > 0], 0, None)
    if not recalls.all():
        return 0.0
    return np.exp(np.log(recalls).mean())


def _matthews(right, true, predicted):
    n = true.sum()
    numerator = n * right.sum() - true @ predicted
    variance = (n**2 - predicted @ predicted) * (n**2 - true @ true)
    return numerator / np.sqrt(variance) if variance > 1e-12 * n**4 else 0.0


def _cohen_kappa(right, true, predicted):
    n = true.sum()
    expected = true @ predicted / n**2
    return (right.sum() / n - expected) / (1 - expected) if expected < 1 else np.nan


def _f1(right, true, predicted):
    return _ratio(2 * right, true + predicted)


def _precision(right, true, predicted):
    return _ratio(right, predicted)


def _recall(right, true, predicted):
    return _ratio(right, true)


def _averaged(per_class: Callable, average: str) -> Callable:
    """Average a metric of each class as scikit-learn does."""

    def evaluate(right, true, predicted):
        values = per_class(right, true, predicted)
        if average == "binary":
            return values[1]
        if average == "macro":
            return values[(true > 0) | (predicted > 0)].mean()
        if average == "weighted":
            return values @ true / true.sum()
        return per_class(*(part.sum()[None] for part in (right, true, predicted)))[0]

    return evaluate


_WHOLE = {
    "accuracy": (_accuracy, (0.0, 1.0)),
    "balanced_accuracy": (_balanced_accuracy, (0.0, 1.0)),
    "geometric_mean": (_geometric_mean, (0.0, 1.0)),
    "matthews_corrcoef": (_matthews, (-1.0, 1.0)),
    "cohen_kappa": (_cohen_kappa, (-1.0, 1.0)),
}
_PER_CLASS = {"f1": _f1, "precision": _precision, "recall": _recall}
_AVERAGES = ("macro", "micro", "weighted")
RANKING = ("roc_auc", "average_precision")
"""Metrics of scores for two classes, which no confusion matrix has."""

METRIC_NAMES = (
    *_WHOLE,
    *(name for name in _PER_CLASS),
    *(f"{name}_{average}" for name in _PER_CLASS for average in _AVERAGES),
    *RANKING,
)


def resolve_metric(metric, n_classes: int) -> ConfusionMetric:
    """Resolve the parameter `metric`.

    Parameters
    ----------
    metric : str, callable or array-like of shape (n_classes, n_classes)
        Name, function of a confusion matrix, or costs of predictions (columns) by true class.
    n_classes : int
        Number of classes.

    Returns
    -------
    metric : ConfusionMetric
        The metric.
    """
    if callable(metric):
        name = getattr(metric, "__name__", type(metric).__name__)
        return ConfusionMetric(name, general=metric, bounds=(-np.inf, np.inf))
    if isinstance(metric, str):
        if metric in _WHOLE:
            function, bounds = _WHOLE[metric]
            return ConfusionMetric(metric, function, bounds=bounds)
        kind, _, average = metric.partition("_")
        if kind in _PER_CLASS and (average in _AVERAGES or not average):
            if not average and n_classes != 2:
                raise ValueError(
                    f"metric={metric!r} is for two classes, but there are {n_classes}: use"
                    f" {', '.join(f'{kind}_{a}' for a in _AVERAGES)}."
                )
            function = _averaged(_PER_CLASS[kind], average or "binary")
            return ConfusionMetric(metric, function)
        if metric in RANKING:
            raise ValueError(f"metric={metric!r} is no function of a confusion matrix.")
        raise ValueError(
            f"metric={metric!r} is unknown: use one of {', '.join(METRIC_NAMES)}, a matrix of"
            " costs, or a function of a confusion matrix."
        )
    try:
        costs = np.asarray(metric, dtype=np.float64)
    except (TypeError, ValueError):
        costs = np.empty(0)
    if costs.shape != (n_classes, n_classes) or not np.isfinite(costs).all():
        raise ValueError(
            f"metric must be a name, a function, or a matrix of {n_classes} x {n_classes} finite"
            f" costs, got {metric!r}."
        )
    return ConfusionMetric(
        "cost",
        general=lambda counts: (costs * counts).sum() / counts.sum(),
        bounds=(float(costs.min()), float(costs.max())),
        greater_is_better=False,
    )


def encode_pairs(y_true, y_pred, labels=None, *, more=()) -> tuple[np.ndarray, ...]:
    """Encode given labels and predictions by common classes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Given labels.
    y_pred : array-like of shape (n_samples,)
        Predictions.
    labels : array-like of shape (n_classes,) or None
        The classes, in the order of rows and columns. None: all that occur, sorted.
    more : sequence of array-like
        Further labels that take part in ``labels=None``, such as verified ones; may be missing.

    Returns
    -------
    true_codes, pred_codes : ndarray of shape (n_samples,)
        Positions in `classes`.
    classes : ndarray of shape (n_classes,)
        The classes.
    """
    true_codes, true_classes = encode_labels(y_true, name="y_true")
    pred_codes, pred_classes = encode_labels(y_pred, name="y_pred")
    for codes, name in ((true_codes, "y_true"), (pred_codes, "y_pred")):
        if not len(codes):
            raise ValueError(f"{name} is empty: at least one row is needed.")
        if (codes < 0).any():
            raise ValueError(
                f"{name} has {int((codes < 0).sum())} missing labels: leave these rows out."
            )
    if len(true_codes) != len(pred_codes):
        raise ValueError(
            f"y_true and y_pred must have as many rows as each other, got {len(true_codes)} and"
            f" {len(pred_codes)}."
        )
    if labels is not None:
        classes = np.asarray(labels)
        if classes.ndim != 1 or len(set(classes.tolist())) != len(classes):
            raise ValueError(f"labels must be distinct and one-dimensional, got {labels!r}.")
    else:
        rest = [encode_labels(labels, name="verified_labels")[1] for labels in more]
        found = [c for c in (true_classes, pred_classes, *rest) if len(c)]
        try:
            classes = np.unique(np.concatenate(found))
        except TypeError as error:
            raise TypeError("y_true and y_pred hold labels of different kinds.") from error
        kinds = {"n" if c.dtype.kind in "biuf" else "t" for c in found}
        if len(kinds) > 1:
            raise TypeError("y_true and y_pred hold labels of different kinds.")
    true_codes = encode_labels_like(y_true, classes, name="y_true")
    pred_codes = encode_labels_like(y_pred, classes, name="y_pred")
    return true_codes, pred_codes, classes


def count_pairs(rows, columns, n_classes: int, weight=None) -> np.ndarray:
    """Count pairs of codes, as float64."""
    flat = np.bincount(rows * n_classes + columns, weights=weight, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.float64)
