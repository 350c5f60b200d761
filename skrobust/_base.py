"""The contracts: what a detector, a reweighter and a transition estimator take and leave behind.

No algorithm lives here. A new method derives from one of these classes and writes one method; the
rest, from missing labels to weights of zero, is the same for all.
"""

import dataclasses
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_consistent_length, indexable
from sklearn.utils.validation import check_is_fitted

from skrobust._judgement import Judgement
from skrobust._noise_level import NARROW_INTERVAL
from skrobust._threshold import (
    Answer,
    LabelQualityThreshold,
    Question,
    judge_new_labels,
    overall_noise_rate,
)
from skrobust.utils._data import LabelledData, check_labelled_data, heed_verdicts
from skrobust.utils._detector_report import DetectorReport
from skrobust.utils._judgement import check_judgement, class_cuts, class_fractions
from skrobust.utils._labels import decode_labels, encode_labels_like, label_fingerprint
from skrobust.utils._masses import lowest_mass_cut
from skrobust.utils._overwritten import labels_look_overwritten, warn_of_overwritten
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import (
    Features,
    Interval,
    check_features,
    fit_context,
    safe_indexing,
)
from skrobust.utils._verified import (
    alternative_proba,
    expected_count_cut,
    judge_new_by_verdicts,
    learn_from_verdicts,
)
from skrobust.utils._warnings import LabelNoiseWarning

# With verified rows of which some are wrong, a label is corrected whose replacement is at least so
# probable: a few dozen of them tell that labels are wrong sooner than what they should be.
_SURE = 0.7
_SUGGESTIONS = ("suggested_labels_", "corrected_labels_", "posterior_labels_", "posterior_proba_")


class _NeedsLabels(BaseEstimator):
    """An estimator that cannot do without labels."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = True
        return tags


class LabelErrorDetector(DetectorReport, _NeedsLabels):
    """Base class of all detectors of label errors.

    A subclass writes ``_judge(data)``, which takes a validated
    :class:`~skrobust.utils._data.LabelledData` and returns a :class:`Judgement`; and, if it can
    judge rows that were not in ``fit``, ``_judge_new(X, codes)``, which returns the quality and
    the flags of labelled rows. Its constructor has the parameters `threshold`, `flag_fraction`
    and `max_flag_rate`, which this class reads.

    Where a person verified at least ten rows, the quality of all other rows becomes the probability
    of being right that is learned from them, and, without a cut of the user's own, as many rows are
    flagged as are expected to be wrong. Nothing is learned from rows that are all wrong, unless
    they are the most suspicious ones: they were chosen because they are wrong; nor from labels that
    were overwritten by the verified ones. A method that has its own use for verified rows sets
    `_learns_from_verdicts` to False.

    .. versionadded:: 0.1
    """

    _learns_from_verdicts = True

    _parameter_constraints: dict = {
        "threshold": [None, Interval(Real, 0, 1, closed="both"), LabelQualityThreshold],
        "flag_fraction": [None, Interval(Real, 0, 1, closed="left"), dict],
        "max_flag_rate": [None, Interval(Real, 0, 1, closed="both")],
    }

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        """Judge the labels of a data set.

        Parameters
        ----------
        X : array-like of length n_samples
            Input. Whether it must be numbers depends on the evidence.
        y : array-like of shape (n_samples,)
            Given labels: text, integers, bools, whole floats. None, NaN and blank text are
            missing labels, which are never fitted on and get a suggestion.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. Where they agree with `y`, the row is trusted: never flagged,
            quality 1. Where they do not, it is a known error: flagged, quality 0, with the verified
            label as the suggestion. Models learn from verified labels.
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
        if self.threshold is not None and self.flag_fraction is not None:
            raise ValueError(
                f"threshold={self.threshold!r} and flag_fraction={self.flag_fraction!r} both say"
                " how many rows to flag: give one of them."
            )
        if isinstance(self.threshold, LabelQualityThreshold):
            self.threshold.validate()
        data = check_labelled_data(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        if isinstance(self.flag_fraction, dict):
            class_fractions(self.flag_fraction, data.classes)  # may say no, before any work
        features = Features(data.X)
        judgement = self._judge(data)
        check_judgement(judgement, data.n_samples, len(data.classes), type(self).__name__)
        features.record(self)
        self._conclude(data, judgement)
        self._remember_rows(y, decode_labels(data.codes, data.classes))
        return self

    def _judge(self, data: LabelledData) -> Judgement:
        raise TypeError(f"{type(self).__name__} must implement _judge(data).")

    def _conclude(self, data: LabelledData, judgement: Judgement) -> None:
        """Apply what all detectors share and set the fitted attributes."""
        quality = np.array(judgement.quality, dtype=np.float64)
        quality[data.codes < 0] = np.nan
        open_question = ~np.isnan(quality) & (data.verified < 0)
        quality = self._learn_from_verified(data, judgement, quality)
        answer = self._flag(data, judgement, quality, open_question)
        if answer.quality is not None:
            quality = np.where(np.isnan(quality), np.nan, answer.quality)
        quality, errors = heed_verdicts(data, quality, answer.errors.copy())
        _keep_every_class(data, quality, errors)
        self._warn_of_rates(data, errors)

        self._set_suggestions(data, judgement, quality, errors)
        self.classes_ = data.classes
        self.label_quality_ = quality
        self.label_errors_ = errors
        self._unverified = ~np.isnan(quality) & (data.verified < 0)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        self.keep_weight_ = np.where(errors | (data.codes < 0), 0.0, weight)
        self.threshold_ = answer.cut
        self.sample_indices_ = np.flatnonzero(~errors & (data.codes >= 0))
        self._set_noise(data, judgement, errors)
        self._set_noise_rate(data, judgement.level, answer, open_question)

    def _set_suggestions(self, data, judgement, quality, errors) -> None:
        """Name likely labels, as far as the method has any idea; a person knows best."""
        for name in _SUGGESTIONS:
            vars(self).pop(name, None)
        if judgement.predictions is None:
            return
        missing = data.codes < 0
        suggested = np.where(errors, judgement.alternatives, judgement.predictions)
        self._set_labels("suggested_labels_", data, suggested)
        corrected = judgement.corrections
        if corrected is None:  # nothing is known about how safe the suggestions are
            corrected = np.where(missing, judgement.predictions, data.codes)
        if judgement.posterior_labels is not None:
            best, proba = judgement.posterior_labels, judgement.posterior_proba
            if hasattr(self, "_verdicts"):  # the quality knows more than the method did
                alternative = alternative_proba(data, judgement)
                other = (1 - quality) * alternative
                unknown = np.isnan(other)
                best = np.where(
                    unknown, best, np.where(other > quality, judgement.alternatives, data.codes)
                )
                proba = np.where(unknown, proba, np.fmax(other, quality))
                if self._verdicts.wrong.any():
                    corrected = np.where(unknown | (other > _SURE), best, data.codes)
            self._set_labels("posterior_labels_", data, best)
            self.posterior_proba_ = np.where(data.checked, 1.0, proba)
        # Of labels that are not flagged, none is corrected.
        self._set_labels(
            "corrected_labels_", data, np.where(errors | missing, corrected, data.codes)
        )

    def _set_labels(self, name: str, data: LabelledData, codes: np.ndarray) -> None:
        """Set an attribute of one label per row, the verified one where there is one."""
        codes = np.where(data.checked, data.verified, codes)
        setattr(self, name, decode_labels(codes, data.classes))

    def _set_noise_rate(self, data, level, answer, open_question) -> None:
        """Set the share of wrong labels, its interval, and how far it is to be relied on."""
        rate, interval = answer.noise_rate, answer.noise_rate_interval
        for name in ("noise_rate_interval_", "reliability_", "reliability_reason_"):
            vars(self).pop(name, None)
        learned = hasattr(self, "_verdicts")
        if rate is None and learned:
            rate, *interval = self._learned_rate
        elif rate is None and level is not None:
            rate, interval = level.rate, (level.low, level.high)
        if rate is not None:
            self.noise_rate_ = overall_noise_rate(data, open_question, rate)
        if interval is None:
            self.reliability_ = "limited"
            self.reliability_reason_ = (
                f"{type(self).__name__} estimates no interval of the share of wrong labels"
            )
            return
        self.noise_rate_interval_ = tuple(
            overall_noise_rate(data, open_question, end) for end in interval
        )
        if level is not None and not learned:
            self.reliability_, self.reliability_reason_ = level.reliability, level.reason
            return
        low, high = self.noise_rate_interval_
        self.reliability_ = "good" if high - low <= NARROW_INTERVAL else "limited"
        self.reliability_reason_ = (
            f"of {np.count_nonzero(data.checked)} verified rows, the label is wrong in"
            f" {np.count_nonzero(data.known_errors)}; between {low:.1%} and {high:.1%} of the"
            " labels are wrong"
        )

    def _learn_from_verified(self, data, judgement, quality) -> np.ndarray:
        """Return the quality as verified rows teach it, if they can and nothing else wants it."""
        for name in ("_verdicts", "_learned_rate"):
            vars(self).pop(name, None)
        threshold = self.threshold
        if isinstance(threshold, LabelQualityThreshold) and not threshold.wants_learned_quality:
            return quality
        if not self._learns_from_verdicts:
            return quality
        if not data.known_errors.any() and _look_overwritten(data, judgement):
            return quality
        learned = learn_from_verdicts(data, judgement, quality)
        if learned is None:
            return quality
        self._verdicts, right = learned
        counted = ~np.isnan(quality) & (data.verified < 0) & data.used
        weight = None if data.sample_weight is None else data.sample_weight[counted]
        self._learned_rate = (0.0, 0.0, 0.0)
        if counted.any():
            low, high = self._verdicts.rate_interval(
                quality[counted], data.codes[counted], right[counted], weight
            )
            rate = float(np.average(1 - right[counted], weights=weight))
            self._learned_rate = rate, low, high
        return right

    def _flag(self, data, judgement, quality, open_question) -> Answer:
        """Flag rows by the method's own rule or by what the user asked for instead."""
        for name in ("fitted_threshold_", "class_thresholds_"):
            vars(self).pop(name, None)
        if isinstance(self.threshold, LabelQualityThreshold):
            self.fitted_threshold_ = clone(self.threshold)
            answer = self.fitted_threshold_.select(
                Question(
                    self,
                    data,
                    judgement,
                    quality,
                    open_question,
                    noise_rate=getattr(self, "_learned_rate", None),
                )
            )
            return dataclasses.replace(answer, errors=answer.errors & open_question)
        if self.threshold is not None:
            return Answer(open_question & (quality < self.threshold), float(self.threshold))
        if self.flag_fraction is not None:
            counted = open_question if data.sample_weight is None else open_question & data.used
            weight = None if data.sample_weight is None else data.sample_weight[counted]
            if isinstance(self.flag_fraction, dict):
                fractions = class_fractions(self.flag_fraction, data.classes)
                self.class_thresholds_ = class_cuts(
                    fractions, quality[counted], data.codes[counted], weight
                )
                cuts = self.class_thresholds_[np.maximum(data.codes, 0)]
                return Answer(open_question & (quality < cuts), None)
            mass = self.flag_fraction * data.mass(counted)
            cut = lowest_mass_cut(quality[counted], mass, weight)
            # The cut itself is flagged, so that the threshold lies just above it.
            cut = 0.0 if cut == -np.inf else float(np.nextafter(cut, np.inf))
            return Answer(open_question & (quality < cut), cut)
        if hasattr(self, "_verdicts"):
            counted = open_question & data.used
            weight = None if data.sample_weight is None else data.sample_weight[counted]
            cut = expected_count_cut(quality[counted], weight)
            return Answer(open_question & (quality < cut), cut)
        return Answer(judgement.errors & open_question, judgement.cut)

    def _warn_of_rates(self, data, errors) -> None:
        if self.max_flag_rate is None:
            return
        totals, flagged = (
            np.bincount(
                data.codes[rows],
                weights=None if data.sample_weight is None else data.sample_weight[rows],
                minlength=len(data.classes),
            )
            for rows in (data.codes >= 0, errors)
        )
        rates = flagged / np.maximum(totals, 1e-300)
        for k in np.flatnonzero(rates > self.max_flag_rate):
            warnings.warn(
                f"{rates[k]:.0%} of the rows given {data.classes.tolist()[k]!r} are flagged, more"
                f" than max_flag_rate={self.max_flag_rate}. A class may look wrong because it is"
                " rare: review some of them, or verify some labels, before dropping them.",
                LabelNoiseWarning,
                stacklevel=5,
            )

    def _set_noise(self, data, judgement, errors) -> None:
        """Estimate how much is wrong, counting what is known exactly."""
        joint, labelled = judgement.joint, data.codes >= 0
        overwritten = _look_overwritten(data, judgement)
        if overwritten:
            warn_of_overwritten(data)
        vars(self).pop("transition_matrix_", None)
        if joint is None:
            self.noise_rate_ = data.mass(errors) / max(data.mass(labelled), 1e-300)
            return
        joint = np.array(joint, dtype=np.float64)
        checked = labelled & (data.verified >= 0)
        weight = None if data.sample_weight is None else data.sample_weight[checked]
        n_classes = len(data.classes)
        pairs = data.codes[checked] * n_classes + data.verified[checked]
        known = np.bincount(pairs, weights=weight, minlength=n_classes**2).reshape(joint.shape)
        total = joint.sum() + known.sum()
        right = np.trace(joint) + np.trace(known)
        self.noise_rate_ = float(1 - right / total) if total > 0 else 0.0
        joint += 0 if overwritten else known
        true_mass = joint.sum(axis=0)
        transition = np.eye(n_classes)
        seen = true_mass > 0
        transition[seen] = (joint[:, seen] / true_mass[seen]).T
        self.transition_matrix_ = transition

    def fit_resample(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        """Judge the labels of a data set and return the rows that are kept.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels.
        verified_labels : array-like of shape (n_samples,), default=None
            As of ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            As of ``fit``.
        groups : array-like of shape (n_samples,), default=None
            As of ``fit``.

        Returns
        -------
        X_resampled : array-like of length n_kept
            Rows whose label is there and not flagged, of the type of `X`.
        y_resampled : array-like of shape (n_kept,)
            Their labels.
        """
        self.fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups)
        X, y = indexable(X, y)
        return safe_indexing(X, self.sample_indices_), safe_indexing(y, self.sample_indices_)

    def suggest_verification(self, n_rows=30, *, random_state=None) -> np.ndarray:
        """Suggest rows to verify, such that the share of wrong labels is known best afterwards.

        Rows are drawn at random, each with a probability that is proportional to the standard
        deviation of its label being right, by `label_quality_`, and a tenth of that of the most
        doubtful rows at least (Neyman allocation). The most suspicious rows alone tell little
        about all others.

        Parameters
        ----------
        n_rows : int, default=30
            Number of rows; fewer are returned if there are not so many.
        random_state : int, RandomState instance or None, default=None
            Seed of the draw. None draws fresh entropy.

        Returns
        -------
        rows : ndarray of shape (n_suggested,)
            Positions of labelled rows that have a quality and are not verified, in rising order.

        Raises
        ------
        ValueError
            If `n_rows` is no positive integer.
        """
        check_is_fitted(self)
        if not isinstance(n_rows, Integral) or isinstance(n_rows, bool) or n_rows < 1:
            raise ValueError(f"n_rows must be a positive integer, got {n_rows!r}.")
        rows = np.flatnonzero(self._unverified)
        if len(rows) <= n_rows:
            return rows
        quality = self.label_quality_[rows]
        weight = np.maximum(np.sqrt(quality * (1 - quality)), 0.05)
        rng = private_random_state(random_state)
        return np.sort(rng.choice(rows, n_rows, replace=False, p=weight / weight.sum()))

    def detect(self, X, y) -> np.ndarray:
        """Flag labelled rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels, of classes known from ``fit``. Missing ones are not flagged.

        Returns
        -------
        label_errors : ndarray of shape (n_samples,) of bool
            True where the label is probably wrong.
        """
        return self._judge_labels(X, y)[1]

    def score_labels(self, X, y) -> np.ndarray:
        """Score how likely labels are right, of rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels, of classes known from ``fit``.

        Returns
        -------
        label_quality : ndarray of shape (n_samples,)
            In [0, 1]; NaN where the label is missing.
        """
        return self._judge_labels(X, y)[0]

    def _judge_labels(self, X, y):
        check_is_fitted(self)
        codes = encode_labels_like(y, self.classes_, name="y")
        (X, codes) = indexable(X, codes)
        check_features(self, X)
        quality, errors = self._judge_new(X, codes)
        quality = np.array(quality, dtype=np.float64)
        if hasattr(self, "_verdicts"):
            quality = judge_new_by_verdicts(self._verdicts, X, quality, codes)
        if hasattr(self, "class_thresholds_"):
            flagged = quality < self.class_thresholds_[np.maximum(codes, 0)]
            return np.where(codes < 0, np.nan, quality), flagged & (codes >= 0)
        threshold = getattr(self, "fitted_threshold_", None)
        return judge_new_labels(threshold, self.threshold_, quality, codes, errors)

    def _other_labels(self, y) -> np.ndarray:
        """Another label than the given one for each row, of all others in turn."""
        codes, n_classes = encode_labels_like(y, self.classes_, name="y"), len(self.classes_)
        other = (codes + 1 + np.arange(len(codes)) % (n_classes - 1)) % n_classes
        return decode_labels(np.where(codes >= 0, other, -1), self.classes_)

    def _is_wrong(self, y, true_labels) -> tuple[np.ndarray, np.ndarray]:
        """Rows whose label is wrong, and rows of which that is known."""
        codes = encode_labels_like(y, self.classes_, name="y")
        truth = encode_labels_like(true_labels, self.classes_, name="true_labels")
        check_consistent_length(codes, truth)
        return codes != truth, (codes >= 0) & (truth >= 0)

    def _judge_new(self, X, codes):
        raise TypeError(f"{type(self).__name__} cannot judge rows that were not in fit.")


def _look_overwritten(data: LabelledData, judgement: Judgement) -> bool:
    """Whether labels of verified rows were overwritten, by the method's own flags and quality."""
    others = data.used & data.given & ~data.checked
    rate = data.mass(others & judgement.errors) / max(data.mass(others), 1e-300)
    quality = np.asarray(judgement.quality, dtype=np.float64)
    return labels_look_overwritten(data, -quality, rate)


def _keep_every_class(data: LabelledData, quality: np.ndarray, errors: np.ndarray) -> None:
    """Unflag the best rows of a class that would have none left."""
    counted = data.used & (data.codes >= 0)
    n_kept = np.bincount(data.codes[counted & ~errors], minlength=len(data.classes))
    for k in np.flatnonzero(n_kept == 0):
        doubtful = counted & (data.codes == k) & ~data.known_errors
        if doubtful.any():
            best = quality[doubtful].max()
            errors[doubtful & (quality == best)] = False


class Reweighter(_NeedsLabels):
    """Base class of all reweighters: how much should each row count?

    A subclass writes ``_weigh(data)``, which takes a validated
    :class:`~skrobust.utils._data.LabelledData` and returns weights of any scale.

    .. versionadded:: 0.1
    """

    _parameter_constraints: dict = {}

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        """Weigh the rows of a data set.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels, some perhaps missing.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. A row that has one is weighed with that label: train on it, and
            not on the one in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights that the rows had before.

        Returns
        -------
        self : object
            With ``sample_weight_`` of shape (n_samples,), none negative: mean 1 over the rows
            that have a label, weighed by `sample_weight`, and 0 elsewhere.
        """
        data = check_labelled_data(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        weight = np.where(data.used, np.asarray(self._weigh(data), dtype=np.float64), 0.0)
        if not np.isfinite(weight).all() or weight.min() < 0 or not weight.any():
            raise ValueError(
                f"{type(self).__name__} found no usable weights: they must be finite, not"
                " negative and not all zero."
            )
        prior = data.used if data.sample_weight is None else data.sample_weight
        self.sample_weight_ = weight * (prior[data.used].sum() / (weight * prior).sum())
        self.classes_ = data.classes
        Features(data.X).record(self)
        return self

    def _weigh(self, data: LabelledData) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must implement _weigh(data).")


class TransitionEstimator(_NeedsLabels):
    """Base class of all estimators of how labels go wrong.

    A subclass writes ``_estimate(data)``, which takes a validated
    :class:`~skrobust.utils._data.LabelledData` and returns the joint mass of true (rows) and
    given (columns) classes, of any scale.

    .. versionadded:: 0.1
    """

    _parameter_constraints: dict = {}

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        """Estimate the transition from true to given labels.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels, some perhaps missing.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            With ``transition_matrix_`` of shape (n_classes, n_classes), rows true classes that
            sum to 1, ``class_prior_`` of the true classes, ``noise_rate_`` and ``classes_``.
        """
        data = check_labelled_data(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        joint = np.asarray(self._estimate(data), dtype=np.float64)
        if not np.isfinite(joint).all() or joint.min() < 0 or not (joint.sum(axis=1) > 0).all():
            raise ValueError(
                f"{type(self).__name__} found no transition matrix: a class has no mass."
            )
        joint /= joint.sum()
        self.class_prior_ = joint.sum(axis=1)
        self.transition_matrix_ = joint / self.class_prior_[:, None]
        self.noise_rate_ = float(1 - np.trace(joint))
        self.classes_ = data.classes
        self._fitted_labels = label_fingerprint(data.codes)
        Features(data.X).record(self)
        return self

    def _estimate(self, data: LabelledData) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must implement _estimate(data).")
