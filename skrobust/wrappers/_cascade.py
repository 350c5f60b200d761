"""Cascade: a slow, accurate classifier is called for the rows that a fast one is uncertain of."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelledData
from skrobust.base._labelled_data import set_fitted
from skrobust.base._scoring import LabelledScore
from skrobust.evidence import OutOfFold
from skrobust.evidence._evidence import check_predicts_proba, predict_columns
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import predict_column
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    Tags,
    fit_context,
    safe_indexing,
)
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._weights import WEIGHT_SLACK, as_counts
from skrobust.wrappers._base import TRAINING_DATA, ModelsWrapper, has_method, resolve_estimator
from skrobust.wrappers._training_set import given


@fill_docstring(training_data=TRAINING_DATA)
class CascadeClassifier(LabelledScore, ClassifierMixin, ModelsWrapper):
    """Cascade of a fast classifier and an accurate one for the rows the first is uncertain of.

    Both are trained on all rows. The fast one predicts unless its uncertainty is
    above a threshold, which is chosen such that, on rows it was not trained on, the accurate one
    is called for a given share of them.

    .. versionadded:: 0.1

    Parameters
    ----------
    fast_estimator : classifier with ``predict_proba``, default=None
        The fast classifier, cloned. None is :class:`~sklearn.linear_model.LogisticRegression`.
    accurate_estimator : classifier, default=None
        The accurate classifier, cloned. None is
        :class:`~sklearn.ensemble.HistGradientBoostingClassifier`.
    call_share : float, default=0.4
        Share of the rows for which the accurate classifier may be called, in [0, 1].
    uncertainty : {"entropy", "margin"}, default="entropy"
        Uncertainty of the fast classifier: the entropy of its probabilities, as a share of the
        highest possible one, or 1 minus the difference of the two highest. They are equivalent
        for two classes; for more, "margin" depends on the two most probable classes only.
    window : int, default=1
        If more than 1, rows are a stream in the order of `X`, and the uncertainty of a row is the
        mean of its own and those of the `window` - 1 rows before it, of as many as there are.
        Where hard rows occur together, the mean is less noisy. Predictions
        then depend on the rows before, and each `X` is a stream of its own.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the out-of-fold probabilities of the fast classifier, which give the threshold.
    %(n_jobs)s
    random_state : int, RandomState instance or None, default=None
        Seed for parts of the classifiers that have none. None draws fresh entropy.

    Attributes
    ----------
    fast_estimator_, accurate_estimator_ : classifier
        The fitted classifiers.
    threshold_ : float
        Uncertainty above which the accurate classifier is called.
    call_share_ : float
        Share of the training rows for which it would have been called, out of fold.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Calibrates the probabilities.

    Notes
    -----
    `call_share` is a budget for rows like those in training: the accurate classifier is called
    for no more of them out of fold, and for fewer where many rows are
    equally uncertain, since such rows are treated alike. For new rows the share depends on their
    uncertainty, see :meth:`calls_accurate`.

    References
    ----------
    Simonds (2025). Entropy adaptive decoding: dynamic model switching for efficient inference.
    arXiv:2502.06833.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skrobust.wrappers import CascadeClassifier
    >>> X, y = make_moons(600, noise=0.2, random_state=0)
    >>> X_test, y_test = make_moons(600, noise=0.2, random_state=1)
    >>> forest = RandomForestClassifier(random_state=0)
    >>> cascade = CascadeClassifier(LogisticRegression(), forest, call_share=0.3).fit(X, y)
    >>> bool(cascade.calls_accurate(X_test).mean() < 0.35)
    True
    >>> cascade.score(X_test, y_test) > 0.97 * forest.fit(X, y).score(X_test, y_test)
    True
    """

    fast_estimator_: Any
    accurate_estimator_: Any
    threshold_: float
    call_share_: float
    classes_: np.ndarray
    n_features_in_: int
    feature_names_in_: np.ndarray

    _parameter_constraints: dict = {
        "fast_estimator": [HasMethods(["fit", "predict"]), None],
        "accurate_estimator": [HasMethods(["fit", "predict"]), None],
        "call_share": [Interval(Real, 0, 1, closed="both")],
        "uncertainty": [StrOptions({"entropy", "margin"})],
        "window": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        fast_estimator: BaseEstimator | None = None,
        accurate_estimator: BaseEstimator | None = None,
        *,
        call_share: float = 0.4,
        uncertainty: str = "entropy",
        window: int = 1,
        cv: CrossValidation = 5,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.fast_estimator = fast_estimator
        self.accurate_estimator = accurate_estimator
        self.call_share = call_share
        self.uncertainty = uncertainty
        self.window = window
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _models(self):
        return {
            "fast_estimator": resolve_estimator(self.fast_estimator, LogisticRegression),
            "accurate_estimator": resolve_estimator(
                self.accurate_estimator, HistGradientBoostingClassifier
            ),
        }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = True
        kinds = [get_tags(model).classifier_tags for model in self._models().values()]
        tags.classifier_tags.multi_class = all(kind.multi_class for kind in kinds if kind)
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Train both classifiers and choose the threshold between them.

        Parameters
        ----------
        %(training_data)s
        %(fit_params)s

        Returns
        -------
        %(returns_self)s
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        fast, accurate = self._route(data, params).values()
        check_predicts_proba(fast.estimator)
        random_state = private_random_state(self.random_state)
        for final in (fast, accurate):
            set_missing_random_states(final.estimator, random_state)
        source = OutOfFold(
            fast.estimator,
            self.cv,
            fit_params=fast.fit_params,
            weighted=False,
            n_jobs=self.n_jobs,
        )
        evidence = source.collect(data)
        calls = (delayed(final.train)(given(data, final.weight)) for final in (fast, accurate))
        self.fast_estimator_, self.accurate_estimator_ = stream(calls, n_jobs=self.n_jobs)
        self.classes_ = self.fast_estimator_.classes_
        self.threshold_, self.call_share_ = self._choose_threshold(evidence.pred_proba, data)
        set_fitted(self, **data.features)
        return self

    def _choose_threshold(self, pred_proba, data) -> tuple[float, float]:
        """Find the threshold above which no more than `call_share` of the rows are.

        Returns it and the share of the training rows above it, out of fold.
        """
        # Rows of a class that occurs nowhere else were never predicted by a model that knows it.
        unseen = np.flatnonzero(data.used & ~np.isnan(pred_proba).any(axis=1))
        columns = np.isin(data.classes, self.classes_)
        values = self._uncertainty(pred_proba[unseen][:, columns])
        weight = as_counts(data.sample_weight, data.used)
        weight = np.ones(data.n_samples) if weight is None else weight
        threshold = _highest_share(values, weight[unseen], self.call_share)
        # The final model may predict other steps than those of the folds, as trees do, and far
        # more rows may be above the threshold. It is overconfident about its training rows, if
        # anything, so that they can show this, up to chance.
        rows = np.flatnonzero(data.used)
        X_used = data.X if len(rows) == data.n_samples else safe_indexing(data.X, rows)
        own = self._uncertainty(predict_columns(self.fast_estimator_, X_used, self.classes_))
        own_weight, total = weight[rows], weight[rows].sum()
        chance = np.sqrt(self.call_share * (1 - self.call_share) / total)
        if own_weight @ (own > threshold) > (self.call_share + 2 * chance) * total:
            threshold = max(threshold, _highest_share(own, own_weight, self.call_share))
        return threshold, float(weight[unseen] @ (values > threshold) / weight[unseen].sum())

    def _uncertainty(self, proba) -> np.ndarray:
        """Compute the uncertainty of probabilities, in [0, 1], as means over the window."""
        if self.uncertainty == "entropy":
            logs = np.log(proba, out=np.zeros_like(proba), where=proba > 0)
            values = -np.sum(proba * logs, axis=1, dtype=np.float64) / np.log(proba.shape[1])
        else:
            second, first = np.partition(proba, -2, axis=1)[:, -2:].T
            values = 1.0 - first.astype(np.float64) + second
        return _rolling_mean(values, self.window)

    def _predict_fast(self, X):
        """Predict by the fast classifier, and find the rows that it is uncertain of."""
        check_is_fitted(self)
        (X,) = indexable(X)
        proba = predict_columns(self.fast_estimator_, X, self.classes_)
        called = np.flatnonzero(self._uncertainty(proba) > self.threshold_)
        return X, proba, called

    def calls_accurate(self, X: Any) -> np.ndarray:
        """Return the rows for which the accurate classifier is called, without calling it.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        calls : ndarray of shape (n_samples,) of bool
            True where the fast classifier is too uncertain.
        """
        _, proba, called = self._predict_fast(X)
        calls = np.zeros(len(proba), dtype=bool)
        calls[called] = True
        return calls

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        %(returns_labels)s
        """
        X, proba, called = self._predict_fast(X)
        labels = self.classes_[proba.argmax(axis=1)]
        if len(called):
            labels[called] = predict_column(self.accurate_estimator_, safe_indexing(X, called))
        return labels

    @available_if(has_method("predict_proba", "accurate_estimator"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities of classes.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities of the classifier that predicts the row, in the order of ``classes_``.
        """
        X, proba, called = self._predict_fast(X)
        if len(called):
            model = self.accurate_estimator_
            accurate = predict_columns(model, safe_indexing(X, called), self.classes_)
            proba = proba.astype(np.result_type(proba, accurate))
            proba[called] = accurate
        return proba

    @available_if(has_method("predict_proba", "accurate_estimator"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of probabilities of classes.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        with np.errstate(divide="ignore"):  # the logarithm of zero is minus infinity
            return np.log(self.predict_proba(X))


def _highest_share(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Find the lowest threshold above which the values have no more than a share of the weight.

    It is half way between two distinct values where possible, and infinite for a share of 0 or 1.
    """
    if share == 0:
        return np.inf
    distinct, group = np.unique(values, return_inverse=True)
    above = np.cumsum(np.bincount(group, weights=weight)[::-1]) / weight.sum()
    n_above = int(np.sum(above <= share + WEIGHT_SLACK))
    if n_above == len(distinct):
        return -np.inf
    if n_above == 0:
        return float(distinct[-1])
    return float(distinct[-n_above - 1] + distinct[-n_above]) / 2


def _rolling_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of each value and those before it, `window` in all or as many as there are."""
    if window == 1:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (sums[stop] - sums[start]) / (stop - start)
