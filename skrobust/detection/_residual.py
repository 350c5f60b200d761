"""Residual detector: numeric targets that are too far from out-of-sample predictions."""

import dataclasses
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from skrobust.base import DetectionResult, LabelQualityThreshold, NoiseLevel
from skrobust.base._labelled_data import set_fitted
from skrobust.detection._residual_models import FoldModels, ForestModels
from skrobust.detection._residual_rules import (
    LEAST_THRESHOLD,
    RESIDUAL_RULES,
    best_share,
    mixture_threshold,
    r2,
    share_threshold,
)
from skrobust.detection._target_decoys import exchange_targets
from skrobust.detection._target_detector import TargetDetector
from skrobust.evidence._values import (
    ValueEvidence,
    default_regression_forest,
    is_out_of_bag_regressor,
    predict_mean,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._error_messages import explain_names
from skrobust.utils._input import check_numeric
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import Interval, StrOptions, Tags
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._weights import weight_fit_params, weighted_median

# Residuals beyond so many medians are truncated before their squares are predicted.
_CAP = 6
# Minimum noise of a row, as a share of the median residual.
_LEAST_NOISE = 0.3
# Residuals this small, as a share of the deviation of all targets, are rounding errors.
_ROUNDING = 1e-6
_LEAST_MEDIAN = 0.05
_BITS = 20


@fill_docstring
class ResidualDetector(TargetDetector):
    """Residual detector of wrong numeric targets, by their distance from predictions.

    Each target is compared with the prediction of a model that was fitted without it. Its
    residual is divided by an estimate of the size of residuals of right targets there: how
    much models differ, and how noisy the targets of such rows are. Rows that look wrong are then
    left out, and all are scored once more.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : regressor, default=None
        Model that predicts, cloned.

        - None: the out-of-bag predictions of 300 extremely randomised trees with at least five
          rows per leaf, from a single fit. Needs a numeric feature matrix.
        - A forest with ``oob_score=True``: its out-of-bag predictions, from a single fit.
        - Any other regressor: its out-of-fold predictions. X is passed on untouched.
    rule : {"mixture", "refit"}, default="mixture"
        How many targets are flagged.

        - "mixture": two normal distributions are fitted to the standardised residuals. Flagged are
          those that belong with a probability of at least a quarter to the wider one, and more of
          the largest ones as long as at most a tenth of all flagged belong to the narrower one.
        - "refit": the share on a grid from 0 to .2 whose removal improves the out-of-sample R²
          of a model most, measured over all rows. Needs a dozen rounds of fits, and flags much
          of a data set that has no errors.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the out-of-fold predictions. For a number, equal rows and rows of one group
        share a fold, and rows are assigned by their content, so that sorted data need no
        shuffling. Not used with out-of-bag predictions.
    n_bootstrap : int, default=0
        Number of times that halves of the rows are predicted by a model of the other half. The
        standard deviation of these predictions is the first part of ``uncertainty_``; 0 leaves it
        out. Not used with out-of-bag predictions, where trees differ.
    threshold : float or threshold object, default=None
        Quality below which a row is flagged, in [0, 1], or an object that chooses it:
        :class:`DecoyThreshold`, :class:`MixtureThreshold` or :class:`TrustedThreshold`. None flags
        by `rule`.
    flag_fraction : float, default=None
        Share of the rows to flag, in [0, 1]: those of the lowest quality, instead of by `rule`.
    %(store_estimators)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each target is right, in [0, 1]: exp(-z), where z is the absolute standardised
        residual as a multiple of its median; with :class:`TrustedThreshold`, the probability
        after calibration on verified rows. NaN where there is no target or no prediction.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose target is flagged as probably wrong.
    suggested_labels_ : ndarray of shape (n_samples,)
        The prediction where the target is flagged or missing, else the target; the verified one
        where there is one. NaN where nothing is known.
    corrected_labels_ : ndarray of shape (n_samples,)
        The targets after correction; the same as `suggested_labels_`.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for flagged rows and those without a target.
    %(sample_indices_)s
    noise_rate_ : float
        Estimated share of wrong targets: that part of the residuals which is like those of targets
        exchanged between rows, as in :class:`DecoyThreshold`; or as a threshold object estimates.
        The own rule flags fewer, as errors no larger than the noise of right targets are not found.
    noise_rate_interval_ : tuple of float
        Interval of that share. Only a threshold object that estimates the share without an
        interval leaves it out.
    reliability_ : {"good", "limited"}
        Whether the interval is narrow.
    %(reliability_reason_)s
    threshold_ : float or None
        Threshold of ``label_quality_``: what lies below is flagged. None for threshold objects
        without a scalar threshold.
    fitted_threshold_ : threshold object
        The fitted copy of `threshold`, if that is one.
    predictions_ : ndarray of shape (n_samples,)
        Predictions by models that did not learn from the row.
    residuals_ : ndarray of shape (n_samples,)
        Given targets minus predictions.
    uncertainty_ : ndarray of shape (n_samples,)
        Estimated size of residuals of right targets: the deviation of models plus the
        root of the predicted squared residual.
    estimators_ : list of regressors
        Fitted models, of a forest the mean of its trees, if ``store_estimators=True``.
    %(features_in)s

    See Also
    --------
    skrobust.wrappers.CleaningRegressor : Trains a regressor on what is left.
    DecoyThreshold : Estimates how good the list is.
    ConfidentLearning : The same for classes.

    Notes
    -----
    The squared residuals are predicted by a forest where X is a numeric matrix, whatever the
    model, because it is smooth and never negative; elsewhere by clones of the model, whose
    prediction is then added to the root mean square. Residuals beyond six medians are truncated:
    otherwise wrong targets would raise the uncertainty of themselves and their neighbours.

    References
    ----------
    Zhou, Mueller, Kumar, Wang and Lei (2023). Detecting errors in numerical data via any
    regression model. arXiv:2305.16583.

    Geurts, Ernst and Wehenkel (2006). Extremely randomized trees. Machine Learning 63.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_friedman1
    >>> from skrobust.detection import ResidualDetector
    >>> X, y = make_friedman1(300, noise=0.5, random_state=0)
    >>> y[:10] += 30
    >>> detector = ResidualDetector(random_state=0).fit(X, y)
    >>> np.flatnonzero(detector.label_errors_)[:10]
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])

    How many targets are wrong, and which share of the flagged ones is?

    >>> from skrobust.detection import DecoyThreshold
    >>> detector.set_params(threshold=DecoyThreshold()).fit(X, y)
    ResidualDetector(random_state=0, threshold=DecoyThreshold())
    >>> round(detector.noise_rate_, 2)
    0.04
    >>> low, high = detector.fitted_threshold_.estimated_precision_interval_
    >>> bool(low <= np.mean(np.flatnonzero(detector.label_errors_) < 10) <= high)
    True
    """

    label_kind = "numbers"

    _parameter_constraints: dict = {
        **TargetDetector._parameter_constraints,
        "rule": [StrOptions(set(RESIDUAL_RULES))],
        "n_bootstrap": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        rule: str = "mixture",
        cv: CrossValidation = 5,
        n_bootstrap: int = 0,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | None = None,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.rule = rule
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _get_estimator(self):
        """Model that supplies the predictions."""
        return default_regression_forest() if self.estimator is None else self.estimator

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = True
        return tags

    @explain_names
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Find wrong targets of a data set.

        Parameters
        ----------
        X : array-like of length n_samples
            Input. Whether it must be numbers depends on the model.
        y : array-like of shape (n_samples,)
            Given targets. None and NaN are missing targets, which are never fitted on and get a
            suggestion.
        verified_labels : array-like of shape (n_samples,), default=None
            Targets as verified by a reviewer, NaN where a row was not reviewed; `y` holds the given
            targets, not overwritten by these. Where they agree with `y`, up to rounding, the row is
            trusted: never flagged, quality 1. Where they do not, it is a known error: flagged,
            quality 0, with the verified target as the suggestion. Models are trained on verified
            targets.
        %(sample_weight)s
        groups : array-like of shape (n_samples,), default=None
            Group of each row: no row is scored by a model that was trained on its group.

        Returns
        -------
        self : object
            Fitted detector.
        """
        return super().fit(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )

    def _detect(self, data) -> DetectionResult:
        """Flag large residuals, in units of what is expected of them."""
        residuals, threshold = self._find_residuals(data, self._make_models(data))
        predictions, unit = residuals.predictions, residuals.unit
        self._unit, self._own_threshold = unit, float(np.exp(-threshold / unit))

        def quality_of(targets):
            size = np.abs(targets - predictions)
            return np.exp(-size / residuals.uncertainty / unit)

        quality = np.where(data.given, np.exp(-residuals.scores / unit), np.nan)
        errors = residuals.scores > threshold
        self.predictions_: np.ndarray = predictions
        self.residuals_: np.ndarray = data.y - predictions
        self.uncertainty_: np.ndarray = residuals.uncertainty
        set_fitted(
            self,
            estimators_=residuals.models.models if self.store_estimators else None,
            _noise=residuals.noise if self.store_estimators else None,
        )
        return DetectionResult(
            quality,
            errors,
            predictions=np.where(data.given, data.y, predictions),
            alternatives=predictions,
            threshold=self._own_threshold,
            quality_of=quality_of,
            corrections=predictions,
            level=_estimate_level(data, quality, quality_of, errors),
            # Up to there, residuals are within the uncertainty.
            doubtful_below=float(np.exp(-LEAST_THRESHOLD / unit)),
        )

    def _make_models(self, data):
        """Make the models of targets and of the size of residuals, not fitted."""
        random_state = private_random_state(self.random_state)
        forest = self.estimator is None or is_out_of_bag_regressor(self.estimator)
        if forest:
            check_numeric(
                data.X,
                "ResidualDetector without an estimator of another kind uses a forest. Pass an"
                " estimator that takes X as it is, such as a Pipeline that encodes it first.",
            )
        if self.estimator is None:
            estimator = default_regression_forest()
        else:
            estimator = clone(self.estimator)
        set_missing_random_states(estimator, random_state)
        weight_fit_params(estimator, data.sample_weight)  # raises before any work
        # A tree is out of the bag of a whole group next to never, so that groups need folds.
        if forest and data.groups is None:
            return ForestModels(estimator, data, self.n_jobs)
        if forest:
            estimator.set_params(oob_score=False)
        return FoldModels(
            estimator,
            data,
            cv=self.cv,
            n_bootstrap=self.n_bootstrap,
            n_jobs=self.n_jobs,
            random_state=random_state,
            **self._route(estimator, data),
        )

    def _find_residuals(self, data, models):
        """Score all rows, and again without those that look wrong; also return the threshold."""
        evidence = _standardise(data, models, data.used)
        unverified = evidence.unverified
        weight = None if data.sample_weight is None else data.sample_weight[unverified]
        share = None
        if self.rule == "refit":
            size = np.abs(data.y_train - evidence.predictions)

            def suspected(share):
                threshold = share_threshold(size[unverified], share, weight)
                return unverified & (size >= threshold) & (share > 0)

            def score_without(share):
                keep = data.used & ~suspected(share)
                predictions = models.predict(keep).predictions if share else evidence.predictions
                scored = data.used & ~np.isnan(predictions)
                row_weight = None if data.sample_weight is None else data.sample_weight[scored]
                return r2(data.y_train[scored], predictions[scored], row_weight)

            share = best_share(score_without)
            suspects = suspected(share)
        else:
            suspects = unverified & (
                evidence.scores > mixture_threshold(evidence.scores[unverified], weight)
            )
        left = data.used & ~suspects
        if suspects.any() and len(np.unique(data.row_hashes[left])) > 1:
            evidence = _standardise(data, models, left)
        scores = evidence.scores[unverified]
        if share is None:
            return evidence, mixture_threshold(scores, weight)
        # What is at the threshold is flagged.
        return evidence, float(np.nextafter(share_threshold(scores, share, weight), -np.inf))

    def _detect_new(self, X, y):
        predictions, deviation = predict_mean(self._kept_models(), X)
        halves = self._noise.halves
        if halves:
            both = [predict_mean(half, X)[0] for half in halves]
            deviation = np.std([predictions, *both], axis=0)
        squares, _ = predict_mean(self._noise.models, X)
        uncertainty = self._noise.uncertainty(squares, deviation)
        scores = np.abs(y - predictions) / uncertainty
        quality = np.exp(-scores / self._unit)
        return quality, quality < self._own_threshold


def _estimate_level(data, quality, quality_of, errors) -> NoiseLevel:
    """Noise rate among the targets that are not verified, and its interval."""
    counted = ~np.isnan(quality) & ~data.checked & data.used
    if not counted.any():
        return NoiseLevel(0.0, 0.0, 0.0)
    _, *rates = exchange_targets(data, quality_of(data.y), quality_of, counted, errors)
    return NoiseLevel(*rates)


@dataclasses.dataclass(frozen=True, eq=False)
class _Noise:
    """Uncertainty from predicted squares and deviations, also of new rows."""

    base: float
    least: float
    tiny: float
    models: list
    halves: list

    def uncertainty(self, squares: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Size that residuals of right targets are expected to have."""
        noise = self.base + np.maximum(np.sqrt(np.maximum(squares, 0.0)), self.least)
        return np.maximum(noise + deviation, self.tiny)


@dataclasses.dataclass(frozen=True, eq=False)
class _Residuals:
    """Standardised residuals of all rows, and what they are computed from."""

    predictions: np.ndarray
    uncertainty: np.ndarray
    scores: np.ndarray
    unverified: np.ndarray
    unit: float
    noise: _Noise
    models: ValueEvidence


def _standardise(data, models, fitted: np.ndarray) -> _Residuals:
    """Predict all rows by models of some, and divide residuals by their expected size."""
    evidence = models.predict(fitted)
    predictions = evidence.predictions
    learned = fitted & ~np.isnan(predictions)
    if not learned.any():
        raise ValueError("No row was predicted by a model that was not trained on it.")
    weight = None if data.sample_weight is None else data.sample_weight[learned]
    size = np.zeros(data.n_samples)
    size[learned] = np.abs(data.y_train[learned] - predictions[learned])
    centre = np.average(data.y_train[learned], weights=weight)
    scale = np.sqrt(np.average((data.y_train[learned] - centre) ** 2, weights=weight))
    # Even where all targets are equal, sums of them are not exact.
    tiny = max(_ROUNDING * scale, 1e-12 * abs(centre), 1e-100)
    median = max(weighted_median(size[learned], weight), tiny)
    # Multiples of a power of two have exact sums, so that trees break ties in the same way in
    # whatever order rows come.
    unit = 2.0 ** (np.floor(2 * np.log2(median)) - _BITS)
    squares = np.round(np.minimum(size, _CAP * median) ** 2 / unit) * unit
    predicted, noise_models = models.predict_squares(squares, learned)
    deviation, halves = models.deviation(evidence, fitted)
    base = 0.0 if models.smooth else np.sqrt(np.average(squares[learned], weights=weight))
    noise = _Noise(base, _LEAST_NOISE * median, tiny, noise_models, halves)
    uncertainty = noise.uncertainty(predicted, deviation)
    scores = np.abs(data.y - predictions) / uncertainty
    unverified = data.used & data.given & ~data.checked & ~np.isnan(scores)
    counted = unverified if unverified.any() else data.used & ~np.isnan(scores)
    weight = None if data.sample_weight is None else data.sample_weight[counted]
    unit = max(weighted_median(scores[counted], weight), _LEAST_MEDIAN) if counted.any() else 1.0
    return _Residuals(predictions, uncertainty, scores, unverified, unit, noise, evidence)
