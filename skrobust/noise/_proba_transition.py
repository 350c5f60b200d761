"""Base class of the transition estimators that use predicted probabilities of one classifier."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator

from skrobust.base import LabelledData, NoiseLevel, TransitionEstimator
from skrobust.base._fitted_attributes import label_surprise, labels_overwritten, warn_of_overwritten
from skrobust.base._labelled_data import set_fitted
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._folds import row_blocks
from skrobust.evidence._out_of_fold import ProbaSource
from skrobust.noise._confident_joint import class_weights
from skrobust.noise._noise_model import (
    LEAST_RATE,
    check_counted,
    count_labels,
    estimate_noise_rate,
    scale_noise,
    shrink_counts,
    solve_prior,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, fit_context
from skrobust.utils._typing import CrossValidation
from skrobust.utils._weights import as_counts

RATES = {"noise_rate": [StrOptions({"extrapolated", "counted"})]}
"""Constraint of the parameter that selects the estimator of the noise rate."""
CONFIDENCE = 0.95
"""Coverage of the intervals of transition matrices."""

DOCUMENTATION = {
    "estimator": """
estimator : classifier with ``predict_proba``, default=None
    Model whose out-of-sample probabilities are used, cloned.

    - None: out-of-bag probabilities of 300 extremely randomised trees with at least five rows per
      leaf, from a single fit. Needs a numeric feature matrix.
    - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
    - Any other classifier: its out-of-fold probabilities. X is passed on as it is.""",
    "noise_rate": """
noise_rate : {"extrapolated", "counted"}, default="extrapolated"
    Estimator of the share of wrong labels.

    - "extrapolated": from the disagreement of labels and predictions, extrapolated to rows whose
      class is certain, so that overlap of the classes is not counted, as
      :class:`~skrobust.detection.EnsembleDetector` does. The counts of the method determine only
      which labels are confused: all probabilities of wrong labels are multiplied by one factor.
    - "counted": from the counts of the method, as published.""",
    "interval": """
transition_interval_ : ndarray of shape (2, n_classes, n_classes)
    Lower and upper ends of 95 % bootstrap intervals of the entries, if `n_bootstrap` is above 0.
    They cover the sampling of rows, not systematic errors of the classifier.""",
    "class_prior": """
class_prior_ : ndarray of shape (n_classes,)
    Shares of the true classes, for which the transition matrix yields the given shares.""",
    "rate_attributes": """
noise_rate_ : float
    Estimated share of wrong labels, in [0, 1].
noise_rate_interval_ : tuple of float
    Plausible interval of `noise_rate_`. The lower end is estimated from the disagreement among
    confident rows; the upper end counts every disagreement with the prediction as an error. Only
    with ``noise_rate="extrapolated"``.
reliability_ : {"good", "limited", "cannot tell"}
    Whether wrong labels can be distinguished from overlap of the classes. Only with
    ``noise_rate="extrapolated"``.
reliability_reason_ : str
    Reason for `reliability_`, with its numbers. Only with ``noise_rate="extrapolated"``.""",
    "algorithm": """
algorithm : {"auto", "exact", "approximate"}, default="auto"
    Search for neighbours. "approximate" requires pynndescent, which
    ``pip install "skrobust[ann]"`` installs. "auto" is exact up to 100 000 distinct rows.""",
    "verified_note": """
How often each true class among the verified rows was given each label is combined with the
estimate, which is weighted by the number of rows that makes those counts most likely. Verified
rows should therefore not be chosen because their labels look wrong.""",
}
"""Docstring entries that the estimators share."""


@dataclasses.dataclass(frozen=True, eq=False)
class TransitionEstimate:
    """Transition matrix estimated from unverified rows, with what else the estimator keeps.

    `prior` None: the class prior follows from the transition matrix. `level` None: the noise rate
    was counted together with the transition matrix.
    """

    transition: np.ndarray
    prior: np.ndarray | None = None
    attributes: dict = dataclasses.field(default_factory=dict)
    level: NoiseLevel | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class PredictedRows:
    """Labels and out-of-sample probabilities of the rows of a data set.

    Attributes
    ----------
    given : ndarray of shape (n_samples,), dtype intp
        Given labels of unverified rows that count; -1 elsewhere.
    scored : ndarray of shape (n_samples,), dtype intp
        The same, -1 also where there are no probabilities.
    verified, verified_given : ndarray of shape (n_samples,), dtype intp
        Verified and given labels of verified rows that count; -1 elsewhere, or where missing.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities, uniform where there are none.
    weight : ndarray of shape (n_samples,) or None
        Weights.
    random_state : RandomState instance or None
        In bootstrap samples: generator of what :func:`shrink_counts` draws.
    """

    given: np.ndarray
    scored: np.ndarray
    verified: np.ndarray
    verified_given: np.ndarray
    pred_proba: np.ndarray
    weight: np.ndarray | None
    random_state: np.random.RandomState | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.pred_proba.shape[1]

    def given_weights(self) -> np.ndarray:
        """Total weight of the unverified rows of each given label."""
        return np.asarray(class_weights(self.given, self.n_classes, self.weight), dtype=float)

    def verified_counts(self) -> np.ndarray:
        """Total weight of verified rows by true class (rows) and given label (columns)."""
        return count_labels(self.verified, self.verified_given, self.n_classes, self.weight)

    def verified_weights(self) -> np.ndarray:
        """Total weight of verified rows by true class, of those with a given label if any."""
        counts = self.verified_counts()
        if counts.any():
            return counts.sum(axis=1)
        return np.asarray(class_weights(self.verified, self.n_classes, self.weight), dtype=float)

    def surprise(self) -> np.ndarray:
        """Negative log probability of each given label; NaN where there is no probability."""
        has_proba = np.ptp(self.pred_proba, axis=1) > 0
        return label_surprise(np.where(has_proba, self.all_given(), -1), self.pred_proba)

    def all_given(self) -> np.ndarray:
        """Given labels of rows that count, verified or not, with probabilities; -1 elsewhere."""
        return np.where(self.verified >= 0, self.verified_given, self.scored)

    def shrink(
        self, counts: np.ndarray, priors: list, *, shares: Sequence[float] | None = None
    ) -> np.ndarray:
        """Estimate, or draw, a transition matrix: see :func:`shrink_counts`."""
        return shrink_counts(counts, priors, shares=shares, random_state=self.random_state)


@fill_docstring
class ProbaTransition(ProbaSource, TransitionEstimator):
    """Base class of the transition estimators that use predicted probabilities of one classifier.

    A subclass implements ``_count(rows)``, which takes :class:`PredictedRows` and returns a
    :class:`TransitionEstimate`.
    """

    # Whether the classifier is trained on verified labels: not where its probabilities are taken
    # for those of given labels.
    _trains_on_verified = True

    _parameter_constraints: dict = {
        **ProbaSource._parameter_constraints,
        **RATES,
        "n_bootstrap": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        noise_rate: str = "extrapolated",
        cv: CrossValidation = 5,
        n_bootstrap: int = 0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.noise_rate = noise_rate
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _count(self, rows: PredictedRows) -> TransitionEstimate:
        """Estimate the transition matrix from unverified rows."""
        raise TypeError(f"{type(self).__name__} must implement _count(rows).")

    @fit_context(prefer_skip_nested_validation=False)
    def fit_evidence(self, data: LabelledData, evidence: Evidence) -> Self:
        """Estimate the transition from out-of-sample probabilities that are known already.

        Parameters
        ----------
        data : LabelledData
            Rows with their labels.
        evidence : Evidence
            Out-of-sample probabilities of the labels that this estimator trains on.

        Returns
        -------
        %(returns_self)s
        """
        return self._fit_joint(data, self._estimate(data, evidence))

    def _estimate(self, data: LabelledData, evidence: Evidence | None = None) -> np.ndarray:
        """Estimate the joint weight of true and given classes."""
        n_classes = len(data.classes)
        used_codes = np.where(data.used, data.y, -1)
        check_counted(class_weights(used_codes, n_classes, None) > 0, data.classes, "counts")
        rows = self._predict_rows(data, evidence)
        unverified = self._count_at_rate(rows)
        weights = rows.given_weights()
        if weights.any():
            prior = self._class_prior(unverified, unverified.transition, weights)
            noise_rate = 1 - prior @ unverified.transition.diagonal()
            if labels_overwritten(data, rows.surprise(), noise_rate):
                warn_of_overwritten(data)
                rows = dataclasses.replace(rows, verified_given=np.full(data.n_samples, -1))
        set_fitted(self, **unverified.attributes)
        counts = rows.verified_counts()
        transition = self._add_verified(rows, counts, unverified.transition)
        if weights.any():
            weights = weights.sum() * self._class_prior(unverified, transition, weights)
        weights = weights + rows.verified_weights()
        interval = self._bootstrap(data, rows) if self.n_bootstrap else None
        set_fitted(self, transition_interval_=interval)
        # A class without weight has a row of the transition matrix all the same.
        joint = np.maximum(weights, 1e-12 * weights.sum())[:, None] * transition
        self._set_reliability(unverified.level, joint)
        return joint

    def _predict_rows(self, data: LabelledData, evidence: Evidence | None) -> PredictedRows:
        """Collect labels and out-of-sample probabilities of all rows."""
        given = np.where(data.used, data.y, -1)
        if evidence is None:
            trained = data
            if not self._trains_on_verified and data.checked.any():
                trained = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
            evidence = self.collect_evidence(trained)
        has_proba, proba = evidence.mask, evidence.filled
        checked = data.used & data.checked
        unverified = np.where(checked, -1, given)
        return PredictedRows(
            unverified,
            np.where(has_proba, unverified, -1),
            np.where(checked, data.verified, -1),
            np.where(checked, given, -1),
            proba,
            as_counts(data.sample_weight, data.used),
        )

    def _count_at_rate(self, rows: PredictedRows) -> TransitionEstimate:
        """Estimate the transition matrix, scaled to the noise rate unless that is counted too."""
        counted = self._count(rows)
        if self.noise_rate == "counted":
            return counted
        level = estimate_noise_rate(rows.all_given(), rows.pred_proba, rows.weight)
        weights = rows.given_weights()
        if not level.n_rows > 0 or not weights.any():
            return dataclasses.replace(counted, level=level)
        prior = self._class_prior(counted, counted.transition, weights)
        transition = scale_noise(counted.transition, prior, max(level.rate, LEAST_RATE))
        return TransitionEstimate(transition, None, counted.attributes, level)

    @staticmethod
    def _class_prior(
        estimate: TransitionEstimate, transition: np.ndarray, given_weights: np.ndarray
    ) -> np.ndarray:
        """Return the estimated shares of true classes, or solve for them."""
        if estimate.prior is not None:
            return estimate.prior
        return solve_prior(transition, given_weights)

    def _add_verified(
        self, rows: PredictedRows, counts: np.ndarray, transition: np.ndarray
    ) -> np.ndarray:
        """Combine the transition matrix of unverified rows with the counts of verified rows."""
        return rows.shrink(counts, [transition]) if counts.any() else transition

    def _bootstrap(self, data: LabelledData, rows: PredictedRows) -> np.ndarray:
        """Return the interval of each entry over bootstrap samples of the rows."""
        random_state = private_random_state(self.random_state)
        some = np.flatnonzero((rows.given >= 0) | (rows.verified >= 0))
        # Replicated rows, and rows of one group, are drawn together: they are not independent.
        labels = np.where(data.used, data.y_train, -1)
        units = row_blocks(data.row_hashes, labels, data.groups, data.sample_weight)[some]
        units = np.unique(units, return_inverse=True)[1]
        n_units = int(units.max()) + 1
        weight = np.zeros(data.n_samples)
        own = np.ones(len(some)) if rows.weight is None else rows.weight[some]
        samples = []
        for _ in range(self.n_bootstrap):
            repeats = random_state.multinomial(n_units, np.full(n_units, 1 / n_units))
            weight[some] = own * repeats[units]
            sample = dataclasses.replace(rows, weight=weight, random_state=random_state)
            counts = sample.verified_counts()
            # With verified rows, only the last step is drawn, which has this one for its prior.
            counted = dataclasses.replace(sample, random_state=None) if counts.any() else sample
            transition = self._count_at_rate(counted).transition
            samples.append(self._add_verified(sample, counts, transition))
        tail = (1 - CONFIDENCE) / 2
        return np.quantile(samples, [tail, 1 - tail], axis=0)

    def _set_reliability(self, level: NoiseLevel | None, joint: np.ndarray) -> None:
        """Set the interval of the noise rate and its reliability, unless it was counted."""
        names = ("noise_rate_interval_", "reliability_", "reliability_reason_")
        if level is None:
            set_fitted(self, **dict.fromkeys(names))
            return
        rate = float(1 - np.trace(joint) / joint.sum())
        interval = min(float(level.low), rate), max(float(level.high), rate)
        values = (interval, level.reliability, level.reason)
        set_fitted(self, **dict(zip(names, values, strict=True)))
