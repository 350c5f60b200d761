"""Training sets, the fit of a model to one, and comparisons of them on held-out rows."""

import dataclasses
from contextlib import nullcontext

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import column_or_1d

from skrobust.base import LabelledData
from skrobust.base._labels import check_targets, encode_labels_like
from skrobust.detection._rules import fit_rule
from skrobust.evidence._folds import make_folds
from skrobust.utils._parallel import in_batches, one_blas_thread
from skrobust.utils._sklearn import safe_indexing
from skrobust.utils._weights import as_counts, index_fit_params

# Relative to the largest weight: smaller weights are zero, smaller differences are none.
_ROUNDING = 1e-9
_N_FOLDS = 3
# A classifier that fits all but this share of its training labels is not too simple for them.
_LEAST_MISFIT = 0.05
# Standard errors by which trimming must raise the held-out accuracy.
_LEAST_GAIN = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a model is trained on."""

    rows: np.ndarray  # positions in X, of which some may occur several times
    targets: np.ndarray  # class codes, or numeric targets
    weight: np.ndarray | None = None  # the caller's included; None if all rows count the same

    def __post_init__(self):
        parts = [self.rows, self.targets] + ([] if self.weight is None else [self.weight])
        shapes = [np.shape(part) for part in parts]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise ValueError(
                f"rows, targets and weight must be columns of one length, got the shapes {shapes}."
            )

    @classmethod
    def from_mask(cls, keep, targets, weight=None) -> "TrainingSet":
        """Take some of all rows."""
        rows = np.flatnonzero(keep)
        return cls(rows, targets[rows], None if weight is None else weight[rows])

    def take(self, which: np.ndarray) -> "TrainingSet":
        """Take some entries, by their positions or a mask."""
        weight = None if self.weight is None else self.weight[which]
        return TrainingSet(self.rows[which], self.targets[which], weight)


@dataclasses.dataclass(frozen=True, eq=False)
class FinalFit:
    """A model to train on any training set, with keywords that were routed before any work."""

    estimator: BaseEstimator  # cloned for each fit
    data: LabelledData  # what ``fit`` of the wrapper was given
    # Keywords for ``fit``, of all rows; with the caller's weights where they are requested.
    fit_params: dict
    # Whether weights are passed even if the caller's are none or not requested.
    own_weight: bool = False
    # Whether the user named no model. The default is linear: more threads slow it down.
    is_default: bool = False
    weight_key: str | None = None  # keyword for weights, None if the model takes none

    @property
    def weight(self) -> np.ndarray | None:
        """The caller's weights of all rows, unless the model declines them."""
        weight = self.data.sample_weight
        return weight if self._requests(weight) else None

    def _requests(self, weight) -> bool:
        return weight is not None and self.weight_key in self.fit_params

    def train(self, training: TrainingSet) -> BaseEstimator:
        """Fit a clone of the model to some of the rows."""
        with one_blas_thread if self.is_default else nullcontext():
            return self.fit(training)

    def fit(self, training: TrainingSet) -> BaseEstimator:
        """Fit as `train` does, with as many threads as the caller has set."""
        rows, weight, X = training.rows, training.weight, self.data.X
        params = self.fit_params and index_fit_params(self.fit_params, rows, self.data.n_samples)
        if weight is not None and (self.own_weight or self._requests(weight)):
            params = params | {self.weight_key: weight}
        if not np.array_equal(rows, np.arange(self.data.n_samples)):
            X = safe_indexing(X, rows)
        return clone(self.estimator).fit(X, self.labels(training), **params)

    def labels(self, training: TrainingSet) -> np.ndarray:
        """Labels or numbers to train on."""
        classes = self.data.classes
        return training.targets if classes is None else classes[training.targets]


def given(data: LabelledData, weight: np.ndarray | None) -> TrainingSet:
    """Train on all rows, with the verified label or else the given one."""
    return TrainingSet.from_mask(data.used, data.y_train, weight)


def cleaned(data: LabelledData, detector, action: str, *, by_certainty: bool) -> TrainingSet:
    """Deal with the label errors that a detector found."""
    if action == "reweight":
        return reweight(data, detector)
    if action == "relabel" and has_suggestions(detector):
        return relabel(data, detector, by_certainty=by_certainty)
    return drop(data, detector)


def has_suggestions(detector) -> bool:
    """Whether a fitted detector has labels to replace flagged ones by."""
    return hasattr(detector, "posterior_labels_") or hasattr(detector, "suggested_labels_")


def drop(data: LabelledData, detector) -> TrainingSet:
    """Leave flagged rows out, or the part of their weight that the detector does not keep."""
    keep = data.used & (data.checked | ~detector.label_errors_)
    weight = data.sample_weight
    if weight is not None:
        weight = np.where(data.checked, weight, detector.keep_weight_)
        keep &= weight > 0
    return TrainingSet.from_mask(keep, data.y_train, weight)


def relabel(data: LabelledData, detector, *, by_certainty: bool) -> TrainingSet:
    """Replace labels by the posterior ones, weighted by their certainty, or by suggested ones."""
    name = "posterior_labels_" if hasattr(detector, "posterior_labels_") else "suggested_labels_"
    found = _encode_like(getattr(detector, name), data, name)
    targets, weight = data.y_train.copy(), data.sample_weight
    replaced = detector.label_errors_ & ~data.checked
    if name == "posterior_labels_":
        replaced |= (found != targets) & data.given & ~data.checked
    targets[replaced] = found[replaced]
    keep = data.used & ~_is_missing(targets)  # flagged, and without a suggestion
    certainty = getattr(detector, "posterior_proba_", None)
    if by_certainty and name == "posterior_labels_" and certainty is not None:
        # By how much the label is more probable than all others together.
        certainty = np.where(data.checked, 1.0, np.maximum(2 * certainty - 1, 0))
        for rows in _rows_by_class(data, targets, keep):
            if not certainty[rows].any():
                certainty[rows] = 1.0
        weight = certainty if weight is None else weight * certainty
        keep &= weight > 0
    return TrainingSet.from_mask(keep, targets, weight)


def reweight(data: LabelledData, detector) -> TrainingSet:
    """Weight all rows by the quality of their labels, with mean 1 in each class."""
    quality = np.array(detector.label_quality_, dtype=np.float64)
    # Labels that are verified, or that the detector cannot score, count in full.
    quality[np.isnan(quality) | data.checked] = 1.0
    prior = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    weight = np.where(data.used, prior * quality, 0.0)
    for rows in _rows_by_class(data, data.y_train, data.used):
        total = weight[rows].sum()
        weight[rows] = weight[rows] * (prior[rows].sum() / total) if total else prior[rows]
    return TrainingSet.from_mask(data.used & (weight > 0), data.y_train, weight)


def weighted(final: FinalFit, weight: np.ndarray) -> TrainingSet:
    """Train on the rows of positive weight, and on all rows of a class that has none.

    Equal weights are no weights: their scale only depends on how many rows were left out.
    """
    data, caller_weight = final.data, final.weight
    weight = np.where(data.used, weight, 0.0)
    weight[weight <= _ROUNDING * weight.max()] = 0.0
    for rows in _rows_by_class(data, data.y_train, data.used):
        if not weight[rows].any():
            weight[rows] = 1.0
    keep = weight > 0
    if np.ptp(weight[keep]) <= _ROUNDING * weight.max():
        weight = caller_weight
    elif caller_weight is not None:
        weight = weight * caller_weight
    return TrainingSet.from_mask(keep, data.y_train, weight)


def _encode_like(labels, data: LabelledData, name: str) -> np.ndarray:
    if data.kind == "numbers":
        return check_targets(labels, name=name)
    return encode_labels_like(labels, data.classes, name=name)


def _is_missing(targets: np.ndarray) -> np.ndarray:
    return np.isnan(targets) if targets.dtype.kind == "f" else targets < 0


def _rows_by_class(data: LabelledData, targets: np.ndarray, keep: np.ndarray):
    """Yield the mask of the kept rows of each class; of numeric targets there is one class."""
    if data.kind == "numbers":
        yield keep
        return
    for code in np.unique(targets[keep]):
        yield keep & (targets == code)


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
    jobs = [(training, train, test) for training in trainings for train, test in folds]
    predicted = in_batches(_train_and_predict, jobs, final, n_jobs=n_jobs)
    weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    truth, weight = (labels, weight) if truth is None else (truth, weight * proba)
    tested = np.concatenate([test for _, test in folds])
    starts = range(0, len(predicted), len(folds))
    return [
        float(np.average(np.concatenate(predicted[i : i + len(folds)]) == truth[tested],
                         weights=weight[tested]))
        for i in starts
    ]  # fmt: skip


def _train_and_predict(jobs, final: FinalFit) -> list[np.ndarray]:
    """Train on the training rows of each fold and predict the others."""
    predicted = []
    for training, train, test in jobs:
        training = training.take(np.isin(training.rows, train))
        present = final.data.classes[np.unique(training.targets)]
        if len(present) == 1:  # most classifiers refuse to be fitted to one class
            predicted.append(np.repeat(present, len(test)))
        elif len(present) == 0:
            predicted.append(np.full(len(test), None, dtype=object))
        else:
            model = final.fit(training)
            predicted.append(column_or_1d(model.predict(safe_indexing(final.data.X, test))))
    return predicted


def train_trimmed(
    final: FinalFit, training: TrainingSet, *, n_jobs: int | None = None
) -> tuple[BaseEstimator, TrainingSet]:
    """Train a model, and again on the trimmed training set if that is better."""
    model = final.train(training)
    kept = trim(final, model, training, n_jobs=n_jobs)
    return model if kept is training else final.train(kept), kept


def trim(final: FinalFit, model, training: TrainingSet, *, n_jobs: int | None = None):
    """Return the training set without rows that the classifier cannot fit, if that is better.

    Confident learning is applied to the predictions of the fitted classifier for its own training
    rows. Flagged rows are trimmed if that raises the accuracy on held-out rows by two standard
    errors, for which the classifier is fitted with and without trimming in three folds.
    """
    if not hasattr(model, "predict_proba"):
        return training
    data, rows = final.data, training.rows
    if np.average(_is_right(final, model, training), weights=training.weight) > 1 - _LEAST_MISFIT:
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
    jobs = [(training.take(train), training.take(test)) for train, test in folds]
    gains = np.concatenate(in_batches(_gains_of_trimming, jobs, final, n_jobs=n_jobs))
    tested = np.concatenate([test for _, test in folds])
    counts = as_counts(training.weight, np.ones(len(rows), dtype=bool))
    counts = np.ones(len(tested)) if counts is None else counts[tested]
    gain = np.average(gains, weights=counts)
    error = np.sqrt(np.average((gains - gain) ** 2, weights=counts) / counts.sum())
    return training.take(~misfits) if gain > _LEAST_GAIN * error else training


def _misfits(model, data, training) -> np.ndarray:
    """Find the training rows, none of them verified, whose labels contradict the fitted model."""
    pred_proba = np.asarray(model.predict_proba(safe_indexing(data.X, training.rows)))
    codes = np.searchsorted(model.classes_, data.classes[training.targets])
    flagged = fit_rule("prune_by_class", codes, pred_proba, weight=training.weight)[1]
    return flagged & ~data.checked[training.rows]


def _is_right(final: FinalFit, model, training: TrainingSet) -> np.ndarray:
    """Whether a model predicts the labels of each entry of a training set."""
    predicted = model.predict(safe_indexing(final.data.X, training.rows))
    return column_or_1d(predicted) == final.labels(training)


def _gains_of_trimming(jobs, final: FinalFit) -> list[np.ndarray]:
    """Compare predictions with held-out labels: 1 where only trimming helps, -1 where it harms."""
    gains = []
    for training, test in jobs:
        gain = np.zeros(len(test.rows))
        if len(np.unique(training.targets)) > 1:  # most classifiers refuse to be fitted to one
            model = final.fit(training)
            misfits = _misfits(model, final.data, training)
            if misfits.any():
                trimmed = final.fit(training.take(~misfits))
                gain += _is_right(final, trimmed, test)
                gain -= _is_right(final, model, test)
        gains.append(gain)
    return gains
