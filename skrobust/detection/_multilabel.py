"""Wrong entries of an indicator matrix, and rows that have one."""

import functools
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils import ClassifierTags
from sklearn.utils.metaestimators import available_if

from skrobust.base import (
    DetectionResult,
    LabelledData,
    LabelQualityThreshold,
    NoiseLevel,
    ThresholdInput,
)
from skrobust.base._detector import scores_new_rows
from skrobust.base._labelled_data import set_fitted
from skrobust.detection._detect_from import conservative_labels
from skrobust.detection._rules import RULES, fit_rule
from skrobust.detection._target_detector import TargetDetector
from skrobust.evidence import OutOfBag, OutOfFold
from skrobust.evidence._evidence import check_predicts_proba
from skrobust.evidence._indicator import (
    collect_all_labels,
    collect_per_label,
    predict_indicators,
    predicts_all_labels,
)
from skrobust.evidence._out_of_bag import default_forest, is_out_of_bag_forest
from skrobust.noise._confident_joint import mean_self_confidence
from skrobust.noise._noise_model import estimate_noise_rate
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._error_messages import explain_names
from skrobust.utils._input import check_numeric
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import Interval, StrOptions, Tags
from skrobust.utils._typing import CrossValidation, MatrixLike
from skrobust.utils._warnings import warn_user
from skrobust.utils._weights import weight_fit_params

AGGREGATES = ("ema", "min", "mean")


@fill_docstring
class MultilabelDetector(TargetDetector):
    """Confident learning of wrong entries where each row may have several labels, or none.

    Each label is a problem of two classes, with out-of-sample probabilities; a rule of confident
    learning selects the entries to flag, and the qualities of the entries of a row are aggregated.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies the predictions, cloned.

        - None: for each label, the out-of-bag probabilities of 300 extremely randomised trees
          with at least five rows per leaf. Needs a numeric feature matrix.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, for each label.
        - Any other classifier: its out-of-fold probabilities. X is passed on untouched.
    strategy : {"auto", "one_vs_rest", "native"}, default="auto"
        Whether one clone is fitted for each label, or one for all of them, which then must take
        an indicator matrix and learns only from rows without missing entries. "auto" is
        "native" for estimators that take nothing else, such as
        :class:`~sklearn.multioutput.ClassifierChain` and
        :class:`~sklearn.multiclass.OneVsRestClassifier`, and "one_vs_rest" for all others.
    rule : {"prune_by_noise_rate", "prune_by_class", "both", "confident_learning", \
            "low_self_confidence", "low_normalized_margin", "predicted_neq_given"}, \
            default="confident_learning"
        Which entries are flagged; see :func:`find_label_errors`, of which it is a problem of two
        classes for each label. On problems of a few overlapping labels the default flags fewer
        right entries than the rules that prune.
    aggregate : {"ema", "min", "mean"}, default="ema"
        How the qualities of its entries make the quality of a row: the exponential moving
        average of the entries from the best to the worst, which the worst ones dominate; the
        worst; or the mean.
    alpha : float, default=0.8
        Share of the next worse entry in the moving average, in [0, 1].
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the out-of-fold probabilities. For a number, equal rows and rows of one group
        share a fold. Not used with out-of-bag probabilities.
    threshold : float or threshold object, default=None
        Quality below which an entry is flagged, in [0, 1], or an object that chooses it, of the
        entries of all labels together: :class:`DecoyThreshold`, :class:`MixtureThreshold` or
        :class:`TrustedThreshold`. None flags by `rule`.
    flag_fraction : float, default=None
        Share of the entries to flag, in [0, 1]: those of the lowest quality, instead of by `rule`.
    max_flag_rate : float, default=0.8
        Maximum share of the rows that are given a label, or of those that are not, that may be
        flagged for it before a warning is issued. None never warns.
    %(store_estimators)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    entry_quality_ : ndarray of shape (n_samples, n_labels)
        How likely each entry is right, in [0, 1]; with :class:`TrustedThreshold`, calibrated on
        verified entries. NaN where it is missing, or where the label cannot be learned, such as
        one that all other rows have.
    entry_errors_ : ndarray of shape (n_samples, n_labels) of bool
        Entries that are flagged as probably wrong.
    label_quality_ : ndarray of shape (n_samples,)
        How likely the labels of a row are right, in [0, 1]. NaN where none of its entries has a
        quality.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows with a flagged entry.
    suggested_labels_ : ndarray of shape (n_samples, n_labels)
        The given entries with the flagged ones inverted, missing ones filled in with what is
        more probable, and verified ones as verified. Integers, or floats with NaN where nothing
        is known.
    corrected_labels_ : ndarray of shape (n_samples, n_labels)
        The labels after correction. A flagged entry is inverted only if that is more probable
        even at a noise rate of its label below the estimate, as in :class:`EnsembleDetector`.
        Missing entries are filled in as in `suggested_labels_`, and verified ones are as
        verified.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for rows with a flagged entry or without any entry.
    %(sample_indices_)s
    noise_rate_ : float
        Estimated share of wrong entries: the mean over labels of the disagreement of entries and
        predictions, extrapolated to entries that are certain, as in :class:`EnsembleDetector`.
    noise_rate_interval_ : tuple of float
        Interval of that share. Only a threshold object that estimates the share without an
        interval leaves it out.
    reliability_ : {"good", "limited", "cannot tell"}
        Whether wrong labels can be distinguished from what is hard to predict.
    %(reliability_reason_)s
    confident_joint_ : ndarray of shape (n_labels, 2, 2)
        Calibrated confident joint of each label, of the entries that are not verified. Rows are
        given entries.
    threshold_ : float or None
        Threshold of ``entry_quality_``; None for rules and threshold objects without a scalar
        threshold.
    fitted_threshold_ : threshold object
        The fitted copy of `threshold`, if that is one.
    estimators_ : list
        Fitted models, if ``store_estimators=True``: a list for each label, or the models that
        predict all labels.
    %(features_in)s

    See Also
    --------
    ConfidentLearning : The same where each row has just one label.
    DecoyThreshold : Estimates how good the list of entries is.

    References
    ----------
    Thyagarajan, Snorrason, Northcutt and Mueller (2022). Identifying incorrect annotations in
    multi-label classification data. arXiv:2211.13895.

    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.detection import MultilabelDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 3))
    >>> y = (X > 0.3).astype(int)
    >>> y[0] = 1 - y[0]
    >>> detector = MultilabelDetector(LogisticRegression()).fit(X, y)
    >>> int(detector.label_quality_.argmin()), detector.entry_quality_.shape
    (0, (300, 3))
    """

    label_kind = "indicators"

    _parameter_constraints: dict = {
        **TargetDetector._parameter_constraints,
        "strategy": [StrOptions({"auto", "one_vs_rest", "native"})],
        "rule": [StrOptions(set(RULES))],
        "aggregate": [StrOptions(set(AGGREGATES))],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "max_flag_rate": [None, Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        strategy: str = "auto",
        rule: str = "confident_learning",
        aggregate: str = "ema",
        alpha: float = 0.8,
        cv: CrossValidation = 5,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.strategy = strategy
        self.rule = rule
        self.aggregate = aggregate
        self.alpha = alpha
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _get_estimator(self):
        """Model that supplies the predictions."""
        return default_forest() if self.estimator is None else self.estimator

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.one_d_labels = False
        tags.target_tags.two_d_labels = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        # y holds 0 and 1 only, in several columns.
        tags.classifier_tags = ClassifierTags(multi_class=False, multi_label=True)
        return tags

    @explain_names
    def fit(
        self,
        X: Any,
        y: MatrixLike,
        *,
        verified_labels: MatrixLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Find wrong labels of a data set.

        Parameters
        ----------
        X : array-like of length n_samples
            Input. Whether it must be numbers depends on the evidence.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            1 where a row is given a label, 0 where it is not. None and NaN are missing entries,
            which are never fitted on and get a suggestion.
        verified_labels : array-like of shape (n_samples, n_labels), default=None
            Entries as verified by a reviewer, missing where none was; `y` holds the given entries,
            not overwritten by these. Where they agree with `y`, the entry is trusted: never
            flagged, quality 1. Where they do not, it is a known error: flagged, quality 0, with
            the verified entry as the suggestion. Models learn from verified entries.
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
        """Score and flag entries, each label by itself."""
        evidence = self._collect(data)
        set_fitted(self, estimators_=evidence.models if self.store_estimators else None)
        proba = evidence.pred_proba
        with np.errstate(invalid="ignore"):
            guess = np.where(np.isnan(proba), -1, proba > 0.5).astype(np.intp)
        predictions = np.where(data.given, data.y, guess)
        levels = _levels(data, proba)
        return DetectionResult(
            _entry_quality(data.y, proba),
            self._apply_rule(data, proba),
            predictions=predictions,
            alternatives=np.where(data.given, 1 - data.y, guess),
            pred_proba=proba,
            corrections=np.where(_sure_errors(data, proba, levels), 1 - data.y, predictions),
            level=_mean_level(levels),
        )

    def _collect(self, data):
        """Collect the evidence: one fit of a forest, or one fit per fold, for each label or all."""
        random_state = private_random_state(self.random_state)
        forest = self.estimator is None or is_out_of_bag_forest(self.estimator)
        if forest:
            check_numeric(
                data.X,
                "MultilabelDetector without an estimator of another kind uses forests. Pass an"
                " estimator that takes X as it is, such as a Pipeline that encodes it first.",
            )
        estimator = clone(self._get_estimator())
        native = self.strategy == "native" or (
            self.strategy == "auto" and predicts_all_labels(estimator)
        )
        # A tree is out of the bag of a whole group next to never, so that groups need folds.
        out_of_bag = forest and data.groups is None and not native
        if self.estimator is None and not native:
            estimator.set_params(bootstrap=True)
        if forest and not out_of_bag:
            estimator.set_params(oob_score=False)
        set_missing_random_states(estimator, random_state)
        check_predicts_proba(estimator)
        weight_fit_params(estimator, data.sample_weight)  # raises before any work
        if out_of_bag:
            return collect_per_label(OutOfBag(estimator, n_jobs=self.n_jobs), data)
        routed = self._route(estimator, data)
        source = OutOfFold(estimator, self.cv, n_jobs=self.n_jobs, **routed)
        return (collect_all_labels if native else collect_per_label)(source, data)

    def _set_quality(self, quality: np.ndarray, errors: np.ndarray) -> None:
        """Set quality and flags of entries, and of rows."""
        self.entry_quality_: np.ndarray = quality
        self.entry_errors_: np.ndarray = errors
        rows = aggregate_quality(quality, self.aggregate, self.alpha)
        super()._set_quality(rows, errors.any(axis=1))

    def _threshold_input(self, data, result, quality, unverified, calibrated) -> ThresholdInput:
        """Input of a threshold object: all entries, of two classes per label."""
        parts, proba = [], result.pred_proba
        for k in range(data.y.shape[1]):
            own = DetectionResult(
                quality[:, k],
                result.errors[:, k],
                quality_of=functools.partial(_entry_quality, proba=proba[:, k]),
                pred_proba=_two_columns(proba[:, k]),
            )
            label = data.one_label(k)
            parts.append(ThresholdInput(self, label, own, quality[:, k], unverified[:, k]))
        weight = data.label_weight
        entries = LabelledData(
            None,  # the parts have the rows
            self._threshold_classes(data.y),
            np.arange(2 * data.y.shape[1]),
            self._threshold_classes(data.verified),
            None if weight is None else weight.ravel(order="F"),
        )
        quality, errors, unverified = (
            values.ravel(order="F") for values in (quality, result.errors, unverified)
        )
        flat = DetectionResult(quality, errors)
        return ThresholdInput(self, entries, flat, quality, unverified, parts=tuple(parts))

    def _apply_rule(self, data, proba) -> np.ndarray:
        """Fit the rule to each label, and flag entries."""
        flags = np.zeros(data.y.shape, dtype=bool)
        self.confident_joint_: np.ndarray = np.zeros((data.y.shape[1], 2, 2))
        self._rules = []
        for k in range(data.y.shape[1]):
            known = ~np.isnan(proba[:, k])
            codes = np.where(known, data.y[:, k], -1)
            used = data.used[:, k] & known
            counted = used & ~data.checked[:, k] & (codes >= 0)
            if not counted.any() or not np.ptp(data.y_train[used, k]):
                self._rules.append(None)
                continue
            both = _two_columns(np.where(known, proba[:, k], 0.5))
            best = np.where(used, data.y_train[:, k], -1)
            thresholds = mean_self_confidence(best, both, data.sample_weight)
            rule, flags[:, k] = fit_rule(
                self.rule,
                np.where(counted, codes, -1),
                both,
                weight=data.sample_weight,
                thresholds=thresholds,
                order=np.argsort(thresholds, kind="stable"),
            )
            others = np.flatnonzero((codes >= 0) & ~counted)
            if len(others):
                flags[others, k] = rule.flag(codes[others], both[others])
            self.confident_joint_[k] = rule.joint
            self._rules.append(rule)
        return flags

    def _warn_of_rates(self, data, errors) -> None:
        """Warn of labels for which too many rows are flagged."""
        if self.max_flag_rate is None:
            return
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        for value, word in ((1, "given"), (0, "not given")):
            entries = data.y == value
            totals, flagged = weight @ entries, weight @ (entries & errors)
            rates = flagged / np.maximum(totals, 1e-300)
            for k in np.flatnonzero(rates > self.max_flag_rate):
                warn_user(
                    f"{rates[k]:.0%} of the rows that are {word} label {k} are flagged for it, more"
                    f" than max_flag_rate={self.max_flag_rate}. It may look wrong because it is"
                    " rare: review some of them before dropping them."
                )

    def _detect_new(self, X, y):
        proba = predict_indicators(self._kept_models(), X, y.shape[1])
        quality = _entry_quality(y, proba)
        flags = np.zeros(y.shape, dtype=bool)
        for k, rule in enumerate(self._rules):
            rows = np.flatnonzero(~np.isnan(quality[:, k]))
            if rule is not None and len(rows):
                flags[rows, k] = rule.flag(y[rows, k], _two_columns(proba[rows, k]))
        return quality, flags

    @available_if(scores_new_rows)
    def detect(self, X: Any, y: MatrixLike, *, entries: bool = False) -> np.ndarray:
        """Flag rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            Given labels. Missing entries are not flagged.
        entries : bool, default=False
            Whether to flag entries instead of rows.

        Returns
        -------
        label_errors : ndarray of shape (n_samples,) or (n_samples, n_labels) of bool
            True where a row, or an entry, is probably wrong.
        """
        flags = self._score_new(X, y)[1]
        return flags if entries else flags.any(axis=1)

    @available_if(scores_new_rows)
    def score_labels(self, X: Any, y: MatrixLike, *, entries: bool = False) -> np.ndarray:
        """Score how likely labels are right, of rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            Given labels.
        entries : bool, default=False
            Whether to score entries instead of rows.

        Returns
        -------
        label_quality : ndarray of shape (n_samples,) or (n_samples, n_labels)
            In [0, 1]; NaN where nothing is given.
        """
        quality = self._score_new(X, y)[0]
        return quality if entries else aggregate_quality(quality, self.aggregate, self.alpha)


def aggregate_quality(entry_quality: np.ndarray, aggregate: str, alpha: float = 0.8) -> np.ndarray:
    """Aggregate the qualities of the entries of each row; NaN entries do not count."""
    known = ~np.isnan(entry_quality)
    if aggregate == "mean":
        sums, counts = np.where(known, entry_quality, 0).sum(axis=1), known.sum(axis=1)
        return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    # From the best to the worst, after those that do not count.
    ordered = -np.sort(np.where(known, -entry_quality, -np.inf), axis=1)
    if aggregate == "min":
        worst = ordered[:, -1]
        return np.where(np.isinf(worst), np.nan, worst)
    average = np.full(len(ordered), np.nan)
    for scores in ordered.T:
        step = np.where(np.isnan(average), scores, alpha * scores + (1 - alpha) * average)
        average = np.where(np.isinf(scores), np.nan, step)
    return average


def _entry_quality(codes: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Probability of the given entry; NaN where it is missing or has no prediction."""
    return np.where(codes == 1, proba, np.where(codes == 0, 1 - proba, np.nan))


def _levels(data, proba) -> list[NoiseLevel]:
    """Noise rate of each label, from all given entries."""
    levels = []
    for k in range(data.y.shape[1]):
        counted = data.used[:, k] & ~np.isnan(proba[:, k])
        codes = np.where(counted, data.y[:, k], -1)
        both = _two_columns(np.where(np.isnan(proba[:, k]), 0.5, proba[:, k]))
        levels.append(estimate_noise_rate(codes, both, data.sample_weight))
    return levels


def _sure_errors(data, proba, levels) -> np.ndarray:
    """Entries that are probably wrong even at a noise rate below the estimate."""
    sure = data.known_errors.copy()
    for k, level in enumerate(levels):
        known = ~np.isnan(proba[:, k])
        given = np.where(known, data.y[:, k], -1)
        both = _two_columns(np.where(known, proba[:, k], 0.5))
        labels, _ = conservative_labels(level, data.one_label(k), given, both, np.arange(2))
        sure[:, k] |= (given >= 0) & (labels != given)
    return sure


def _mean_level(levels) -> NoiseLevel:
    """Mean noise rate over the labels."""
    totals = np.array([level.n_rows for level in levels])
    shares = totals / totals.sum() if totals.any() else totals
    rate, low, high, certain, disagreement, explained = (
        float(shares @ [getattr(level, name) for level in levels])
        for name in ("rate", "low", "high", "certain", "disagreement", "explained")
    )
    return NoiseLevel(rate, low, high, certain, disagreement, explained >= 0.5, float(totals.sum()))


def _two_columns(proba: np.ndarray) -> np.ndarray:
    """Probabilities of two classes from those of the second."""
    return np.column_stack([1 - proba, proba])
