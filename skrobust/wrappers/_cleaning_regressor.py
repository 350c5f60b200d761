"""Train a regressor on targets that have been cleaned first."""

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.linear_model import Ridge

from skrobust.base import LabelledData
from skrobust.base._labels import check_targets
from skrobust.base._scoring import TargetScore
from skrobust.detection import ResidualDetector
from skrobust.utils._rows import is_plain_numeric
from skrobust.utils._sklearn import fit_context
from skrobust.wrappers._cleaning_base import BaseCleaning


class CleaningRegressor(TargetScore, RegressorMixin, BaseCleaning):
    """Find the wrong targets, deal with them, and train a regressor on the result.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : regressor, default=None
        The regressor to train, cloned. None is :class:`~sklearn.linear_model.Ridge`.
    detector : detector of wrong targets, default=None
        What finds the wrong targets, cloned. None is
        :class:`~skrobust.detection.ResidualDetector`; where X is a table of numbers, with the
        out-of-bag predictions of a forest, and otherwise with the out-of-fold predictions of
        `estimator`.
    action : {"drop", "relabel", "reweight"}, default="drop"
        What to do about them:

        - "drop": leave out the flagged rows;
        - "relabel": give flagged rows the target that the detector suggests, and leave out those
          for which it suggests none;
        - "reweight": flag none, but weigh each row by the quality of its target, with mean 1.
          `estimator` must take sample weights.

        Rows with a verified target are always trained on with that target, at full weight. Rows
        without any target are left out.
    cv : int, splitter or iterable of (train, test), default=None
        If not None, set as `cv` of the detector.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the detector.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the detector. The estimator keeps its own.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache the detection, so that a search over parameters of `estimator` detects
        once per training fold. Needs an integer `random_state`, here or in the detector. With
        the default detector the cached detection is shared between values of `estimator` only
        where X is a table of numbers.

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor.
    detector_ : detector
        The fitted detector, with ``label_quality_``, ``label_errors_`` and more.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    skrobust.detection.ResidualDetector : Only finds the wrong targets.
    CleaningClassifier : The same for classes.

    References
    ----------
    Zhou, Mueller, Kumar, Wang and Lei (2023). Detecting errors in numerical data via any
    regression model. arXiv:2305.16583.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.model_selection import train_test_split
    >>> from skrobust.wrappers import CleaningRegressor
    >>> X, y = make_regression(400, 5, noise=10, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> y_wrong = np.where(np.arange(300) % 10 == 0, 1000, y_train)
    >>> plain = LinearRegression()
    >>> cleaned = CleaningRegressor(plain, random_state=0).fit(X_train, y_wrong)
    >>> cleaned.score(X_test, y_test) > plain.fit(X_train, y_wrong).score(X_test, y_test)
    True
    """

    def _default_estimator(self):
        return Ridge()

    def _default_detector(self):
        return ResidualDetector()

    def _make_detector(self, X):
        """Make the detector to fit, with the parameters that were given to this wrapper."""
        if self.detector is not None:
            detector = clone(self.detector)
        elif is_plain_numeric(X):
            detector = ResidualDetector()
        else:
            detector = ResidualDetector(clone(self._get_estimator()))
        return self._configure(detector)

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None, **params):
        """Find the wrong targets, deal with them and train the regressor.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to detector and regressor as it is: arrays, sparse matrices,
            DataFrames, lists of texts.
        y : array-like of shape (n_samples,)
            Given targets. Rows whose target is None or NaN are not trained on.
        verified_labels : array-like of shape (n_samples,), default=None
            Targets as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are trained on instead of those in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit. An integer weight counts as so many equal rows.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group never judge one another.
        **params : dict
            More metadata for the regressor, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        data = LabelledData.from_arrays(
            X,
            y,
            kind="numbers",
            verified_labels=verified_labels,
            sample_weight=sample_weight,
            groups=groups,
        )
        return self._fit(data, y, verified_labels, params)

    def _clean(self, data, detector, weigh):
        """Decide which rows to train on, with which targets and weights.

        Returns
        -------
        rows : ndarray of shape (n_kept,)
            Row numbers.
        targets : ndarray of shape (n_samples,)
            Targets to train on.
        weight : ndarray of shape (n_samples,) or None
            Weights to train with.
        """
        targets = data.y_train.copy()
        weight = data.sample_weight
        doubted = detector.label_errors_ & ~data.checked
        keep = data.used.copy()
        if self.action == "drop":
            keep &= ~doubted
            if weight is not None:
                weight = np.where(data.checked, weight, detector.keep_weight_)
                keep &= weight > 0
        elif self.action == "relabel":
            suggested = check_targets(self._suggestions(detector), name="suggested_labels_")
            targets[doubted] = suggested[doubted]
            keep &= ~np.isnan(targets)  # wrong, and no idea what would be right
        else:
            weight = self._quality_weight(data, detector)
            keep &= weight > 0
        if not keep.any():
            raise ValueError(
                f"action={self.action!r} leaves no row to train on: {type(detector).__name__}"
                " flags them all."
            )
        return np.flatnonzero(keep), targets, weight

    def _quality_weight(self, data, detector) -> np.ndarray:
        """Weigh rows by the quality of their targets, with mean 1 over rows that count."""
        quality = np.array(detector.label_quality_, dtype=np.float64)
        # Where the detector cannot say, or a person has, the row counts in full.
        quality[np.isnan(quality) | data.checked] = 1.0
        prior = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        weight = np.where(data.used, prior * quality, 0.0)
        total = weight.sum()
        return weight * (prior[data.used].sum() / total) if total else np.where(data.used, prior, 0)
