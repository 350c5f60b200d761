"""Comparisons of training sets by the accuracy of the classifier on held-out rows."""

import numpy as np

from skrobust.base._labels import encode_labels_like
from skrobust.detection._rules import fit_rule
from skrobust.evidence._folds import make_folds
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._predictions import predict_column
from skrobust.utils._sklearn import safe_indexing
from skrobust.utils._weights import as_counts
from skrobust.wrappers._base import FinalFit
from skrobust.wrappers._training_set import TrainingSet

_N_FOLDS = 3
# A classifier that fits all but this share of its training labels is not too simple for them.
_LEAST_MISFIT = 0.05
# Standard errors by which trimming must raise the held-out accuracy.
_LEAST_GAIN = 2.0


def held_out_accuracy(
    final: FinalFit,
    trainings: list[TrainingSet],
    *,
    truth: np.ndarray | None = None,
    proba: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> list[float]:
    """Compute the accuracy on held-out labels for each of several training sets.

    Wrong labels are held out as well, so that all accuracies are low where many labels are wrong.
    They can be compared as long as most labels of each class are right and errors do not follow
    what a model would predict. `truth` are the labels to predict instead, with their probabilities.
    """
    data = final.data
    labels = data.classes[data.y_train]
    folds = make_folds(
        _N_FOLDS, data.X, labels, data.y_train, data.used, data.groups, data.sample_weight
    )
    calls = (
        delayed(_train_and_predict)(final, training, train, test)
        for training in trainings
        for train, test in folds
    )
    predicted = list(stream(calls, n_jobs=n_jobs))
    weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    truth, weight = (labels, weight) if truth is None else (truth, weight * proba)
    tested = np.concatenate([test for _, test in folds])
    starts = range(0, len(predicted), len(folds))
    return [
        float(np.average(np.concatenate(predicted[i : i + len(folds)]) == truth[tested],
                         weights=weight[tested]))
        for i in starts
    ]  # fmt: skip


def _train_and_predict(final, training, train, test) -> np.ndarray:
    """Train on the training rows of a fold and predict the others."""
    training = training.take(np.isin(training.rows, train))
    present = final.data.classes[np.unique(training.targets)]
    if len(present) == 1:  # most classifiers refuse to be fitted to one class
        return np.repeat(present, len(test))
    if len(present) == 0:
        return np.full(len(test), None, dtype=object)
    model = final.train(training)
    return np.asarray(predict_column(model, safe_indexing(final.data.X, test)))


def trim(final: FinalFit, model, training: TrainingSet, *, n_jobs: int | None = None):
    """Return the training set without rows that the classifier cannot fit, if that is better.

    Confident learning is applied to the predictions of the fitted classifier for its own training
    rows. Flagged rows are trimmed if that raises the accuracy on held-out rows by two standard
    errors, for which the classifier is fitted with and without trimming in three folds.
    """
    if not hasattr(model, "predict_proba"):
        return training
    data, rows = final.data, training.rows
    right = predict_column(model, safe_indexing(data.X, rows)) == data.classes[training.targets]
    if np.average(right, weights=training.weight) > 1 - _LEAST_MISFIT:
        return training
    misfits = _misfits(model, data, training)
    if not misfits.any():
        return training
    known = np.zeros(data.n_samples, dtype=bool)
    known[rows] = True
    codes = data.y_train.copy()
    codes[rows] = training.targets
    try:
        folds = make_folds(
            _N_FOLDS, data.X, data.classes[codes], codes, known, data.groups, data.sample_weight
        )
    except ValueError:  # no class has rows in two folds: there is nothing to compare
        return training
    folds = [tuple(np.searchsorted(rows, part) for part in fold) for fold in folds]
    calls = (
        delayed(_gains_of_trimming)(final, training.take(train), training.take(test))
        for train, test in folds
    )
    gains = np.concatenate(list(stream(calls, n_jobs=n_jobs)))
    tested = np.concatenate([test for _, test in folds])
    counts = as_counts(training.weight, np.ones(len(rows), dtype=bool))
    counts = np.ones(len(tested)) if counts is None else counts[tested]
    gain = np.average(gains, weights=counts)
    error = np.sqrt(np.average((gains - gain) ** 2, weights=counts) / counts.sum())
    return training.take(~misfits) if gain > _LEAST_GAIN * error else training


def _misfits(model, data, training) -> np.ndarray:
    """Find the training rows, none of them verified, whose labels contradict the fitted model."""
    known = encode_labels_like(model.classes_, data.classes, name="classes_")
    pred_proba = np.asarray(model.predict_proba(safe_indexing(data.X, training.rows)))
    codes = np.searchsorted(known, training.targets)
    flagged = fit_rule("prune_by_class", codes, pred_proba, weight=training.weight)[1]
    return flagged & ~data.checked[training.rows]


def _gains_of_trimming(final, training, test) -> np.ndarray:
    """Compare predictions with held-out labels: 1 where only trimming helps, -1 where it harms."""
    data = final.data
    if len(np.unique(training.targets)) == 1:  # most classifiers refuse to be fitted to one class
        return np.zeros(len(test.rows))
    model = final.train(training)
    misfits = _misfits(model, data, training)
    if not misfits.any():
        return np.zeros(len(test.rows))
    X, labels = safe_indexing(data.X, test.rows), data.classes[test.targets]
    trimmed = final.train(training.take(~misfits))
    before, after = (predict_column(m, X) == labels for m in (model, trimmed))
    return after.astype(np.float64) - before
