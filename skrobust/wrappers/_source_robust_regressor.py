"""Train a regressor on targets from several sources, some of which may be arbitrarily wrong."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.linear_model import Ridge

from skrobust.base import LabelledData
from skrobust.base._labelled_data import check_rows_match
from skrobust.base._scoring import TargetScore
from skrobust.utils._sklearn import fit_context
from skrobust.wrappers._aggregation import aggregate_sources
from skrobust.wrappers._source_robust_base import BaseSourceRobust


class SourceRobustRegressor(TargetScore, RegressorMixin, BaseSourceRobust):
    """Train a regressor on targets from several sources, some of which may be arbitrarily wrong.

    Sources are sensors, sites, batches: whatever a target comes from. One regressor is trained
    per source, and what they predict is aggregated in a way that a minority of them cannot move
    far. This shows which sources disagree with the rest, and gives the regressor.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : regressor, default=None
        The regressor to train, cloned. None is :class:`~sklearn.linear_model.Ridge`.
    n_faulty : int or float, default=None
        How many sources may be wrong: a number, or a share, of which the whole number below
        counts. Less than half. None is as many as can be survived, ``(n_sources - 1) // 2``.
    combine : {"rows", "predictions", "coefficients"}, default="rows"
        What becomes of the regressors of the sources:

        - "rows": at most `n_faulty` sources that clearly disagree with the aggregate are left
          out, and one regressor is trained on the rows of all others;
        - "predictions": what they predict is aggregated for each row;
        - "coefficients": their coefficients are aggregated, of linear models.
    aggregation : {"nna_median", "mean", "trimmed_mean", "median", "geometric_median"}, \
default="nna_median"
        How to aggregate; see :func:`aggregate_sources`. "mean" survives no faulty source.
    n_jobs : int, default=None
        Number of sources whose regressors are fitted in parallel.
    random_state : int, RandomState instance or None, default=None
        Seed for parts of `estimator` that have none. None draws fresh entropy.

    Attributes
    ----------
    estimator_ : regressor
        The one fitted regressor, unless ``combine="predictions"``.
    estimators_ : list of length n_sources
        The regressor of each source.
    sources_ : ndarray of shape (n_sources,)
        Sources, sorted.
    faulty_sources_ : ndarray of shape (n_sources,) of bool
        Sources that clearly disagree with what all of them together predict: the ones to look
        into, whatever is combined.
    source_disagreement_ : ndarray of shape (n_sources,)
        Mean absolute difference of the targets of each source from what all sources together
        predict.
    n_faulty_ : int
        How many sources could be survived if they were wrong.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    SourceRobustClassifier : The same for classes, with notes on what to combine.
    aggregate_sources : Only aggregates.
    CleaningRegressor : Finds single wrong targets, wherever they come from.

    Notes
    -----
    A minority counts in sources, not in rows: a source with most of the rows has one voice.

    With "rows", a source that is wrong about few rows only, and not by much, may stay. With
    "predictions" each prediction is safe from `n_faulty` sources, whatever they are wrong about,
    but every regressor has learned from the rows of one source.

    Rows with a verified target are trained on with that target, also where their source is left
    out.

    References
    ----------
    Farhadkhani, Guerraoui, Gupta, Hoang, Pinot and Stephan (2023). Robust collaborative learning
    with linear gradient overhead. ICML.

    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot and Stephan (2023). Fixing by mixing: a recipe
    for optimal Byzantine ML under heterogeneity. AISTATS.

    Examples
    --------
    Seven sensors, of which two send the wrong sign:

    >>> import numpy as np
    >>> from sklearn.datasets import make_regression
    >>> from skrobust.wrappers import SourceRobustRegressor
    >>> X, y = make_regression(700, 5, noise=10, random_state=0)
    >>> sensors = np.array([f"sensor {i % 7}" for i in range(700)])
    >>> y_given = np.where(np.isin(sensors, ["sensor 0", "sensor 3"]), -y, y)
    >>> robust = SourceRobustRegressor().fit(X, y_given, sources=sensors)
    >>> robust.sources_[robust.faulty_sources_].tolist()
    ['sensor 0', 'sensor 3']
    >>> robust.score(X, y) > 0.98
    True
    """

    _counts_errors = False

    def _default_estimator(self):
        return Ridge()

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, sources=None, verified_labels=None, sample_weight=None, **params):
        """Train one regressor per source, compare them and combine what they have learned.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to the regressors as it is: arrays, sparse matrices, DataFrames, lists
            of texts.
        y : array-like of shape (n_samples,)
            Given targets. Rows whose target is None or NaN are not trained on.
        sources : array-like of shape (n_samples,), default=None
            Where each target comes from: names or numbers, none missing. None is a single
            source, which nothing can be compared with; a :class:`LabelNoiseWarning
            <skrobust.utils.LabelNoiseWarning>` says so.
        verified_labels : array-like of shape (n_samples,), default=None
            Targets as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are trained on instead of those in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit. An integer weight counts as so many equal rows.
        **params : dict
            More metadata for the regressor, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        check_rows_match(y, sources=sources)
        data = LabelledData.from_arrays(
            X, y, kind="numbers", verified_labels=verified_labels, sample_weight=sample_weight
        )
        return self._fit(data, data.y_train, sources, params)

    def _can_learn(self, targets) -> bool:
        return True

    def _predict_one(self, estimator, X) -> np.ndarray:
        return np.reshape(estimator.predict(X), (-1, 1))

    def _aggregate(self, X) -> np.ndarray:
        """What all sources together predict, shape (n_samples,)."""
        return aggregate_sources(
            self._stack(X), n_faulty=self.n_faulty_, aggregation=self.aggregation
        )[:, 0]

    def _losses(self, predicted, data, rows) -> tuple[np.ndarray, np.ndarray, float]:
        """How far given targets are from predicted ones, in one stratum; and their size."""
        loss = np.abs(data.y[rows] - predicted)
        return loss, np.zeros(len(rows), dtype=np.intp), float(np.abs(predicted).mean())

    def _decide(self, predicted) -> np.ndarray:
        return predicted
