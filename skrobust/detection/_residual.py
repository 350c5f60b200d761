"""Which numeric targets are too far from what a model says that has not seen them?"""

import dataclasses
from numbers import Integral

import numpy as np
from sklearn.base import clone

from skrobust.base import DetectionResult, LabelledData, ThresholdInput, ThresholdResult
from skrobust.base._labelled_data import apply_verified_labels
from skrobust.base._labels import check_targets
from skrobust.base._threshold import overall_noise_rate, score_new_labels
from skrobust.detection._residual_models import FoldModels, ForestModels
from skrobust.detection._residual_rules import (
    LEAST_CUT,
    RESIDUAL_RULES,
    best_share,
    mixture_cut,
    r2,
    share_cut,
)
from skrobust.detection._target_decoys import exchange_targets
from skrobust.detection._target_detector import TargetDetector, weighted_median
from skrobust.evidence._values import (
    ValueEvidence,
    default_regression_forest,
    gives_out_of_bag_values,
    predict_values,
)
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._rows import check_numeric, row_hashes
from skrobust.utils._sklearn import Features, Interval, StrOptions, fit_context
from skrobust.utils._weights import weight_fit_params

# Squares of residuals beyond so many medians say nothing about the noise of right targets.
_CAP = 6
# The noise of a row is at least this share of the median residual, whatever a forest says.
_LEAST_NOISE = 0.3
# Residuals this small, as a share of the spread of all targets, are rounding.
_ROUNDING = 1e-6
_LEAST_MEDIAN = 0.05
_BITS = 20


class ResidualDetector(TargetDetector):
    """Detect wrong numeric targets by their distance from predictions of a model.

    Each target is compared with the prediction of a model that was fitted without it. Its
    residual is divided by an estimate of how large residuals of right targets are there: how
    much models differ, and how noisy the targets of such rows are. Rows that look wrong are then
    left out, and all are judged once more.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : regressor, default=None
        Model that predicts, cloned.

        - None: the out-of-bag predictions of 300 extremely randomised trees with at least five
          rows per leaf, from a single fit. Needs a table of numbers.
        - A forest with ``oob_score=True``: its out-of-bag predictions, from a single fit.
        - Any other regressor: its out-of-fold predictions. X is handed on untouched.
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
        share a fold, and rows are dealt by their content, so that sorted tables need no
        shuffling. Not used with out-of-bag predictions.
    n_bootstrap : int, default=0
        Number of times that halves of the rows are predicted by a model of the other half. The
        spread of these predictions is the first part of ``uncertainty_``; 0 leaves it out. Not
        used with out-of-bag predictions, where the trees spread.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by `rule`; or let
        :class:`DecoyThreshold`, :class:`MixtureThreshold` or :class:`TrustedThreshold` choose.
    flag_fraction : float, default=None
        Flag this share of the rows, those of the lowest quality, instead of by `rule`.
    store_estimators : bool, default=False
        Keep the fitted models, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of folds, or threads of the forest, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for models, and parts of models, that have none of their own, and for halves. None
        draws fresh entropy: NumPy's global generator is neither read nor advanced.

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each target is right, in [0, 1]: exp(-z), where z is the absolute standardised
        residual as a multiple of its median; with :class:`TrustedThreshold`, the probability
        that verified rows teach. NaN where the target is missing or no model judges it.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose target is probably wrong.
    suggested_labels_ : ndarray of shape (n_samples,)
        The prediction where the target is flagged or missing, else the target; the verified one
        where there is one. NaN where nothing is known.
    corrected_labels_ : ndarray of shape (n_samples,)
        The targets after correction; the same as `suggested_labels_`.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for flagged rows and those without a target.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept.
    noise_rate_ : float
        Estimated share of wrong targets: that part of the residuals which is like those of targets
        exchanged between rows, as in :class:`DecoyThreshold`; or as a threshold object estimates.
        The own rule flags fewer, as errors no larger than the noise of right targets are not found.
    noise_rate_interval_ : tuple of float
        Interval of that share. Only a threshold object that estimates the share without an
        interval leaves it out.
    reliability_ : {"good", "limited"}
        Whether the interval is narrow.
    reliability_reason_ : str
        What that rests on, in words and numbers.
    threshold_ : float or None
        The cut of ``label_quality_``: what lies below is flagged. None for threshold objects
        without a scalar cut.
    fitted_threshold_ : threshold object
        The fitted copy of `threshold`, if that is one.
    predictions_ : ndarray of shape (n_samples,)
        Predictions by models that did not learn from the row.
    residuals_ : ndarray of shape (n_samples,)
        Given targets minus predictions.
    uncertainty_ : ndarray of shape (n_samples,)
        How large residuals of right targets are estimated to be: the spread of models plus the
        root of the predicted squared residual.
    estimators_ : list of regressors
        Fitted models, of a forest the mean of its trees, if ``store_estimators=True``.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    skrobust.wrappers.CleaningRegressor : Trains a regressor on what is left.
    DecoyThreshold : Estimates how good the list is.
    ConfidentLearning : The same for classes.

    Notes
    -----
    The squared residuals are predicted by a forest where X is a table of numbers, whatever the
    model, because it is smooth and never negative; elsewhere by clones of the model, whose
    prediction is then added to the root mean square. Residuals beyond six medians are cut off:
    else wrong targets would excuse themselves and their neighbours.

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
        estimator=None,
        *,
        rule="mixture",
        cv=5,
        n_bootstrap=0,
        threshold=None,
        flag_fraction=None,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
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
        """The model that supplies evidence."""
        return default_regression_forest() if self.estimator is None else self.estimator

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = True
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        """Judge the targets of a data set.

        Parameters
        ----------
        X : array-like of length n_samples
            Input. Whether it must be numbers depends on the model.
        y : array-like of shape (n_samples,)
            Given targets. None and NaN are missing targets, which are never fitted on and get a
            suggestion.
        verified_labels : array-like of shape (n_samples,), default=None
            Targets as checked by a person, NaN where nobody looked; `y` stays as it was given, not
            overwritten by them. Where they agree with `y`, up to rounding, the row is trusted:
            never flagged, quality 1. Where they do not, it is a known error: flagged, quality 0,
            with the verified target as the suggestion. Models learn from verified targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, used in every fit and count. An integer weight counts as so many equal
            rows; rows of weight zero are not learned from.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group never judge one another.

        Returns
        -------
        self : object
            Fitted detector.
        """
        self._check_cuts()
        data = LabelledData.from_arrays(
            X,
            y,
            kind="numbers",
            verified_labels=verified_labels,
            sample_weight=sample_weight,
            groups=groups,
        )
        features = Features(data.X)
        models = self._make_models(data)
        evidence, cut = self._detect(data, models)
        features.record(self)
        self._conclude(data, evidence, cut)
        self._remember_rows(data)
        return self

    def _make_models(self, data):
        """Prepare what predicts targets, and what predicts the size of residuals."""
        random_state = private_random_state(self.random_state)
        forest = self.estimator is None or gives_out_of_bag_values(self.estimator)
        if forest:
            check_numeric(
                data.X,
                "ResidualDetector without an estimator of another kind looks at a forest. Pass an"
                " estimator that takes X as it is, such as a Pipeline that encodes it first.",
            )
        if self.estimator is None:
            estimator = default_regression_forest()
        else:
            estimator = clone(self.estimator)
        set_missing_random_states(estimator, random_state)
        weight_fit_params(estimator, data.sample_weight)  # may say no, before any work
        # A tree is out of the bag of a whole group next to never, so that groups need folds.
        if forest and data.groups is None:
            return ForestModels(estimator, data, self.n_jobs)
        if forest:
            estimator.set_params(oob_score=False)
        fit_params, weight = self._route(estimator, data)
        return FoldModels(
            estimator,
            data,
            cv=self.cv,
            n_bootstrap=self.n_bootstrap,
            fit_params=fit_params,
            weight=weight,
            n_jobs=self.n_jobs,
            random_state=random_state,
        )

    def _detect(self, data, models):
        """Judge all rows, leave out those that look wrong, and judge them again.

        Returns
        -------
        evidence : _Residuals
            What is known in the end.
        cut : float
            Scores above this are flagged, by the method's own rule.
        """
        evidence = _look(data, models, data.used)
        unverified = evidence.unverified
        weight = None if data.sample_weight is None else data.sample_weight[unverified]
        share = None
        if self.rule == "refit":
            size = np.abs(data.y_train - evidence.predictions)

            def doubt(share):
                cut = share_cut(size[unverified], share, weight)
                return unverified & (size >= cut) & (share > 0)

            def score_without(share):
                keep = data.used & ~doubt(share)
                predictions = models.predict(keep).predictions if share else evidence.predictions
                scored = data.used & ~np.isnan(predictions)
                mass = None if data.sample_weight is None else data.sample_weight[scored]
                return r2(data.y_train[scored], predictions[scored], mass)

            share = best_share(score_without)
            doubted = doubt(share)
        else:
            doubted = unverified & (
                evidence.scores > mixture_cut(evidence.scores[unverified], weight)
            )
        left = data.used & ~doubted
        if doubted.any() and len(np.unique(row_hashes(data.X)[left])) > 1:
            evidence = _look(data, models, left)
        scores = evidence.scores[unverified]
        if share is None:
            return evidence, mixture_cut(scores, weight)
        # What is at the cut is flagged.
        return evidence, float(np.nextafter(share_cut(scores, share, weight), -np.inf))

    def _conclude(self, data, evidence, cut) -> None:
        """Set the fitted attributes."""
        self._unit = evidence.unit
        self._own_cut = float(np.exp(-cut / self._unit))
        quality = np.exp(-evidence.scores / self._unit)
        quality[~data.given] = np.nan
        unverified = ~np.isnan(quality) & ~data.checked
        with np.errstate(invalid="ignore"):
            own = ThresholdResult(evidence.scores > cut, self._own_cut)

        def quality_of(targets):
            size = np.abs(targets - evidence.predictions)
            return np.exp(-size / evidence.uncertainty / self._unit)

        def ask():
            result = DetectionResult(
                quality, own.errors, threshold=own.threshold, quality_of=quality_of
            )
            # Up to there, the uncertainty lets residuals be expected.
            doubtful = float(np.exp(-LEAST_CUT / self._unit))
            return ThresholdInput(self, data, result, quality, unverified, doubtful)

        answer = self._flag(quality, unverified, data.sample_weight, own, ask)
        self.threshold_ = answer.threshold
        quality, errors = apply_verified_labels(
            data, np.array(answer.quality), answer.errors.copy()
        )
        _keep_the_best(data, quality, errors)
        suggested = np.where(errors | ~data.given, evidence.predictions, data.y)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        self.label_quality_ = quality
        self.label_errors_ = errors
        self.suggested_labels_ = np.where(data.checked, data.verified, suggested)
        self.corrected_labels_ = self.suggested_labels_.copy()
        self.keep_weight_ = np.where(errors | ~data.given, 0.0, weight)
        self.sample_indices_ = np.flatnonzero(~errors & data.given)
        rates = (answer.noise_rate, answer.noise_rate_interval)
        if answer.noise_rate is None:
            rates = _estimate_rate(data, quality_of, unverified, own.errors)
        self._set_noise_rate(*rates)
        self.predictions_ = evidence.predictions
        self.residuals_ = data.y - evidence.predictions
        self.uncertainty_ = evidence.uncertainty
        for name in ("estimators_", "_noise"):
            vars(self).pop(name, None)
        if self.store_estimators:
            self.estimators_ = evidence.models.estimators
            self._noise = evidence.noise

    def _check_new_targets(self, y):
        return check_targets(y)

    def _detect_new(self, X, y):
        predictions, spread = _predict_new(self.estimators_, X)
        halves = self._noise.halves
        if halves:
            both = [_predict_new(half, X)[0] for half in halves]
            spread = np.std([predictions, *both], axis=0)
        uncertainty = self._noise.uncertainty(_predict_new(self._noise.estimators, X)[0], spread)
        scores = np.abs(y - predictions) / uncertainty
        quality = np.exp(-scores / self._unit)
        codes = np.where(np.isnan(y), -1, 0)
        threshold = getattr(self, "fitted_threshold_", None)
        with np.errstate(invalid="ignore"):
            own = quality < self._own_cut
            return score_new_labels(threshold, self.threshold_, quality, codes, own)


def _estimate_rate(data, quality_of, unverified, errors):
    """Estimate the share of wrong targets, and its interval."""
    counted = unverified & data.used
    rates = (0.0, 0.0, 0.0)
    if counted.any():
        _, *rates = exchange_targets(data, quality_of(data.y), quality_of, counted, errors)
    rate, *interval = (overall_noise_rate(data, unverified, end) for end in rates)
    return rate, interval


def _keep_the_best(data, quality, errors) -> None:
    """Unflag the best rows, if all would be flagged."""
    counted = data.used & data.given
    if counted.any() and errors[counted].all():
        doubtful = counted & ~data.known_errors
        if doubtful.any():
            errors[doubtful & (quality == quality[doubtful].max())] = False


@dataclasses.dataclass(frozen=True, eq=False)
class _Noise:
    """What turns predicted squares and spreads into an uncertainty, also of new rows."""

    base: float
    least: float
    tiny: float
    estimators: list
    halves: list

    def uncertainty(self, squares: np.ndarray, spread: np.ndarray) -> np.ndarray:
        noise = self.base + np.maximum(np.sqrt(np.maximum(squares, 0.0)), self.least)
        return np.maximum(noise + spread, self.tiny)


@dataclasses.dataclass(frozen=True, eq=False)
class _Residuals:
    """What one look at all rows yields."""

    predictions: np.ndarray
    uncertainty: np.ndarray
    scores: np.ndarray
    unverified: np.ndarray
    unit: float
    noise: _Noise
    models: ValueEvidence


def _look(data, models, fitted) -> _Residuals:
    """Predict all rows by models of some, and estimate how large their residuals may be.

    Parameters
    ----------
    data : LabelledData
        Rows.
    models : ForestModels or FoldModels
        What predicts.
    fitted : ndarray of shape (n_samples,) of bool
        Rows to learn from.

    Returns
    -------
    residuals : _Residuals
        Absolute standardised residuals, and what they are made of.
    """
    evidence = models.predict(fitted)
    predictions = evidence.predictions
    learned = fitted & ~np.isnan(predictions)
    if not learned.any():
        raise ValueError("No row was predicted by a model that had not seen it.")
    weight = None if data.sample_weight is None else data.sample_weight[learned]
    size = np.zeros(data.n_samples)
    size[learned] = np.abs(data.y_train[learned] - predictions[learned])
    centre = np.average(data.y_train[learned], weights=weight)
    scale = np.sqrt(np.average((data.y_train[learned] - centre) ** 2, weights=weight))
    # Even where all targets are equal, sums of them are not exact.
    tiny = max(_ROUNDING * scale, 1e-12 * abs(centre), 1e-100)
    median = max(weighted_median(size[learned], weight), tiny)
    # In units of a power of two, sums of squares are exact, so that trees break ties alike in
    # whatever order rows come.
    unit = 2.0 ** (np.floor(2 * np.log2(median)) - _BITS)
    squares = np.round(np.minimum(size, _CAP * median) ** 2 / unit) * unit
    predicted, estimators = models.predict_squares(squares, learned)
    spread, halves = models.spread(evidence, fitted)
    base = 0.0 if models.smooth else np.sqrt(np.average(squares[learned], weights=weight))
    noise = _Noise(base, _LEAST_NOISE * median, tiny, estimators, halves)
    uncertainty = noise.uncertainty(predicted, spread)
    scores = np.abs(data.y - predictions) / uncertainty
    unverified = data.used & data.given & ~data.checked & ~np.isnan(scores)
    counted = unverified if unverified.any() else data.used & ~np.isnan(scores)
    mass = None if data.sample_weight is None else data.sample_weight[counted]
    unit = max(weighted_median(scores[counted], mass), _LEAST_MEDIAN) if counted.any() else 1.0
    return _Residuals(predictions, uncertainty, scores, unverified, unit, noise, evidence)


def _predict_new(estimators, X) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction of models for new rows, and the spread of trees if they are a forest."""
    if len(estimators) == 1 and hasattr(estimators[0], "predict_with_spread"):
        return estimators[0].predict_with_spread(X)
    predictions = sum(predict_values(model, X) for model in estimators) / len(estimators)
    return predictions, np.zeros(len(predictions))
