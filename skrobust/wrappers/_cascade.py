"""Ask an accurate, slow classifier only about the rows that a fast one is unsure of."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelledData
from skrobust.base._scoring import LabelledScore
from skrobust.evidence._out_of_fold import (
    check_predicts_proba,
    gather_out_of_fold,
    predict_columns,
)
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._predictions import predict_column
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import (
    Features,
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    raise_for_params,
    safe_indexing,
)
from skrobust.utils._weighted_quantiles import WEIGHT_SLACK
from skrobust.utils._weights import fit_rows
from skrobust.wrappers._wrapper_base import ModelsWrapper, estimator_has, given_or


class CascadeClassifier(LabelledScore, ClassifierMixin, ModelsWrapper):
    """Ask an accurate, slow classifier only about the rows that a fast one is unsure of.

    Both are trained on all rows. In predictions, the fast one answers unless its uncertainty is
    above a threshold, which is chosen such that, on rows it has not seen, it hands on a wanted
    share of them.

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
        Of the fast classifier: the entropy of its probabilities, as a share of the highest
        possible one, or 1 minus the difference of the two highest. The same for two classes; for
        many, "margin" looks only at what changes the answer.
    window : int, default=1
        If more than 1, rows are a stream in the order of `X`, and the uncertainty of a row is the
        mean of its own and those of the `window` - 1 rows before it, of as many as there are.
        Where hard rows come together, that is a steadier sign than single rows give. Predictions
        then depend on the rows before, and each `X` is a stream of its own.
    cv : int, splitter or iterable of (train, test), default=5
        How to split rows to see how unsure the fast classifier is of rows it has not seen.
    n_jobs : int, default=None
        Number of fits in parallel.
    random_state : int, RandomState instance or None, default=None
        Seed for parts of the classifiers that have none. None draws fresh entropy.

    Attributes
    ----------
    fast_estimator_, accurate_estimator_ : classifier
        The fitted classifiers.
    threshold_ : float
        Uncertainty above which the accurate classifier is called.
    call_share_ : float
        Share of the training rows for which it would have been called, when they were unseen.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Makes probabilities say how unsure they should be.

    Notes
    -----
    `call_share` is a budget for rows like those in training: the accurate classifier is called
    for no more of them when the fast one has not seen them, and for fewer where many rows are
    equally uncertain, since such rows share one fate. For new rows it is called at the rate at
    which they are uncertain, see :meth:`calls_accurate`.

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
        fast_estimator=None,
        accurate_estimator=None,
        *,
        call_share=0.4,
        uncertainty="entropy",
        window=1,
        cv=5,
        n_jobs=None,
        random_state=None,
    ):
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
            "fast_estimator": given_or(self.fast_estimator, LogisticRegression),
            "accurate_estimator": given_or(self.accurate_estimator, HistGradientBoostingClassifier),
        }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = True
        kinds = [get_tags(model).classifier_tags for model in self._models().values()]
        tags.classifier_tags.multi_class = all(kind.multi_class for kind in kinds if kind)
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, **params):
        """Train both classifiers and choose the threshold between them.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to the classifiers as it is: arrays, sparse matrices, DataFrames, lists
            of texts.
        y : array-like of shape (n_samples,)
            Given labels. Rows whose label is None, NaN or blank are not trained on.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are trained on instead of those in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit and for the share of rows. An integer weight counts as so many
            equal rows.
        **params : dict
            More metadata for the classifiers, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        raise_for_params(params, self, "fit")
        features = Features(data.X)
        models = {name: clone(model) for name, model in self._models().items()}
        fast, accurate = models.values()
        check_predicts_proba(fast)
        fast_params, accurate_params = self._route_all(models, data, params).values()
        random_state = private_random_state(self.random_state)
        for part in (fast, accurate):
            set_missing_random_states(part, random_state)
        evidence = gather_out_of_fold(
            clone(fast),
            data.X,
            data.y_train,
            data.classes,
            data.used,
            cv=self.cv,
            fit_params=fast_params,
            n_jobs=self.n_jobs,
        )
        labels = data.classes[np.maximum(data.y_train, 0)]
        rows = np.flatnonzero(data.used)
        calls = (
            delayed(fit_rows)(part, data.X, labels, rows, fit_params)
            for part, fit_params in ((fast, fast_params), (accurate, accurate_params))
        )
        self.fast_estimator_, self.accurate_estimator_ = stream(calls, n_jobs=self.n_jobs)
        self.classes_ = self.fast_estimator_.classes_
        self._choose_threshold(evidence.pred_proba, data)
        features.record(self)
        return self

    def _choose_threshold(self, pred_proba, data) -> None:
        """Find the uncertainty above which no more rows are than may be handed on."""
        # Rows of a class that is nowhere else were never predicted by a model that knows it.
        unseen = np.flatnonzero(data.used & ~np.isnan(pred_proba).any(axis=1))
        columns = np.isin(data.classes, self.classes_)
        values = self._uncertainty(pred_proba[unseen][:, columns])
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        self.threshold_ = _highest_share(values, weight[unseen], self.call_share)
        # The final model may answer in other steps than those of the folds, as trees do, and far
        # more rows may be above the threshold. It is too sure of rows that it has seen, if
        # anything, so that they can show this, up to chance.
        rows = np.flatnonzero(data.used)
        X_used = data.X if len(rows) == data.n_samples else safe_indexing(data.X, rows)
        proba = predict_columns(self.fast_estimator_, X_used, self.classes_)
        chance = np.sqrt(self.call_share * (1 - self.call_share) / weight[rows].sum())
        own = self._uncertainty(proba)
        if (
            weight[rows] @ (own > self.threshold_)
            > (self.call_share + 2 * chance) * weight[rows].sum()
        ):
            own_threshold = _highest_share(own, weight[rows], self.call_share)
            self.threshold_ = max(self.threshold_, own_threshold)
        called = values > self.threshold_
        self.call_share_ = float(weight[unseen] @ called / weight[unseen].sum())

    def _uncertainty(self, proba) -> np.ndarray:
        """How unsure probabilities of rows are, in [0, 1], as means over the window."""
        if self.uncertainty == "entropy":
            logs = np.log(proba, out=np.zeros_like(proba), where=proba > 0)
            values = -np.sum(proba * logs, axis=1, dtype=np.float64) / np.log(proba.shape[1])
        else:
            second, first = np.partition(proba, -2, axis=1)[:, -2:].T
            values = 1.0 - first.astype(np.float64) + second
        return _rolling_mean(values, self.window)

    def _ask(self, X):
        """Predict by the fast classifier, and find the rows that it is unsure of."""
        check_is_fitted(self)
        (X,) = indexable(X)
        proba = predict_columns(self.fast_estimator_, X, self.classes_)
        called = np.flatnonzero(self._uncertainty(proba) > self.threshold_)
        return X, proba, called

    def calls_accurate(self, X) -> np.ndarray:
        """Say for which rows the accurate classifier is called, without calling it.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        calls : ndarray of shape (n_samples,) of bool
            True where the fast classifier is too unsure.
        """
        _, proba, called = self._ask(X)
        calls = np.zeros(len(proba), dtype=bool)
        calls[called] = True
        return calls

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Predicted labels.
        """
        X, proba, called = self._ask(X)
        labels = self.classes_[proba.argmax(axis=1)]
        if len(called):
            labels[called] = predict_column(self.accurate_estimator_, safe_indexing(X, called))
        return labels

    @available_if(estimator_has("predict_proba", "accurate_estimator"))
    def predict_proba(self, X):
        """Predict probabilities of classes.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities of the classifier that answers, in the order of ``classes_``.
        """
        X, proba, called = self._ask(X)
        if len(called):
            model = self.accurate_estimator_
            answers = predict_columns(model, safe_indexing(X, called), self.classes_)
            proba = proba.astype(np.result_type(proba, answers))
            proba[called] = answers
        return proba

    @available_if(estimator_has("predict_proba", "accurate_estimator"))
    def predict_log_proba(self, X):
        """Predict logarithms of probabilities of classes.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        with np.errstate(divide="ignore"):  # the logarithm of zero is minus infinity
            return np.log(self.predict_proba(X))


def _highest_share(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Find the lowest threshold above which the values weigh no more than a share of all.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values.
    weight : ndarray of shape (n_values,)
        Weights.
    share : float
        In [0, 1].

    Returns
    -------
    threshold : float
        Half way between two values, where there are two to be told apart. Infinite for a share
        of 0 or 1.
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
