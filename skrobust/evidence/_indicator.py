"""Out-of-sample probabilities of several labels per row."""

import dataclasses
import functools

import numpy as np
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import get_tags

from skrobust.evidence._evidence import predict_columns
from skrobust.evidence._folds import make_value_folds
from skrobust.evidence._out_of_bag import OutOfBag
from skrobust.evidence._out_of_fold import OutOfFold, fit_folds
from skrobust.utils._sklearn import num_samples
from skrobust.utils._weights import weight_fit_params

_BOTH = np.array([0, 1])


@dataclasses.dataclass(frozen=True, eq=False)
class IndicatorEvidence:
    """Probabilities of labels, and the models that predict new rows."""

    pred_proba: np.ndarray  # (n_samples, n_labels), NaN where there is no prediction
    models: list  # a list per label, empty where it cannot be learned; or models of all labels

    def predict(self, X) -> np.ndarray:
        """Predict the probabilities of all labels for new rows; NaN where there is no model."""
        return predict_indicators(self.models, X, self.pred_proba.shape[1])


def predict_indicators(models: list, X, n_labels: int) -> np.ndarray:
    """Mean probability of all labels by models of each label, or of all of them."""
    if not isinstance(models[0], list):
        return sum(predict_all_labels(model, X, n_labels) for model in models) / len(models)
    proba = np.full((num_samples(X), n_labels), np.nan)
    for k, own in enumerate(models):
        if own:
            proba[:, k] = sum(predict_columns(m, X, _BOTH)[:, 1] for m in own) / len(own)
    return proba


def predicts_all_labels(estimator) -> bool:
    """Whether an estimator was made for an indicator matrix, rather than for one label."""
    return isinstance(estimator, OneVsRestClassifier) or not (
        get_tags(estimator).target_tags.single_output
    )


def collect_per_label(source: OutOfBag | OutOfFold, data) -> IndicatorEvidence:
    """Fit models of one label at a time."""
    proba = np.full(data.y.shape, np.nan)
    models = []
    for k in range(data.y.shape[1]):
        counts = np.bincount(data.y_train[data.used[:, k], k], minlength=2)
        if counts.min() == 0 or counts.max() < 2:
            models.append([])
            continue
        evidence = source.collect(data.one_label(k))
        proba[:, k] = evidence.pred_proba[:, 1]
        models.append(list(evidence.models))
    return IndicatorEvidence(proba, models)


def collect_all_labels(source: OutOfFold, data) -> IndicatorEvidence:
    """Fit models of all labels at once, on the rows of which every entry is known."""
    estimator = source.estimator
    weight = data.sample_weight if source.weighted else None
    weight_fit_params(estimator, weight)  # raises before any work
    used = data.used.all(axis=1)
    if not used.any():
        raise ValueError(
            f"{type(estimator).__name__} learns all labels at once, but no row has all its entries:"
            " use strategy='one_vs_rest'."
        )
    folds = make_value_folds(
        source.cv, data.X, data.y_train, used, data.groups, sample_weight=data.sample_weight
    )
    extra = np.flatnonzero(~used)
    fits = fit_folds(
        [estimator],
        data.X,
        data.y_train,
        folds,
        extra,
        functools.partial(predict_all_labels, n_labels=data.y.shape[1]),
        sample_weight=weight,
        fit_params=source.fit_params,
        n_jobs=source.n_jobs,
    )
    sums, counts, models = np.zeros(data.y.shape), np.zeros(data.y.shape), []
    for (train, test), ((model,), (proba,)) in fits:
        rows = np.concatenate([test, extra])
        # A model that never saw both values of a label cannot score it.
        seen = np.ptp(data.y_train[train], axis=0) > 0
        sums[rows] += np.where(seen, proba, 0)
        counts[rows] += seen
        models.append(model)
    return IndicatorEvidence(
        np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0), models
    )


def predict_all_labels(estimator, X, n_labels: int) -> np.ndarray:
    """Predict the probabilities of all labels, in whichever form the model returns them."""
    given = estimator.predict_proba(X)
    name = type(estimator).__name__
    if isinstance(given, list):
        if len(given) != n_labels:
            raise ValueError(
                f"{name}.predict_proba returned {len(given)} arrays for {n_labels} labels."
            )
        columns = []
        for one, classes in zip(given, estimator.classes_, strict=True):
            place = np.flatnonzero(np.asarray(classes) == 1)
            columns.append(one[:, place[0]] if len(place) else np.zeros(len(one)))
        proba = np.column_stack(columns)
    else:
        proba = np.asarray(given, dtype=np.float64)
    if proba.shape != (num_samples(X), n_labels):
        raise ValueError(
            f"{name}.predict_proba returned shape {proba.shape} for {n_labels} labels."
        )
    if not (np.isfinite(proba).all() and proba.min(initial=0) >= 0 and proba.max(initial=0) <= 1):
        raise ValueError(f"{name}.predict_proba returned entries that are no probabilities.")
    return proba
