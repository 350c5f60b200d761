"""Estimators of transitions that look at the probabilities of a classifier."""

import dataclasses
from numbers import Integral

import numpy as np

from skrobust._base import TransitionEstimator
from skrobust._noise_level import NoiseLevel
from skrobust.evidence._folds import row_units
from skrobust.evidence._proba_source import ProbaSource
from skrobust.noise._confident_joint import class_weights
from skrobust.noise._label_counts import (
    LEAST_RATE,
    check_counted,
    count_labels,
    shrink_counts,
    solve_prior,
)
from skrobust.noise._noise_model import scale_noise
from skrobust.noise._noise_rate import estimate_noise_rate
from skrobust.utils._overwritten import label_surprise, labels_look_overwritten, warn_of_overwritten
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions

RATES = {"noise_rate": [StrOptions({"extrapolated", "counted"})]}
"""Constraint of a parameter that tells how the share of wrong labels is estimated."""
CONFIDENCE = 0.95
"""How often intervals are meant to hold."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What a method says by the rows that nobody verified.

    Attributes
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes and sum to 1.
    prior : ndarray of shape (n_classes,) or None
        Shares of true classes; None if it is what follows from the transition.
    attributes : dict
        More that the estimator should know after its fit.
    level : NoiseLevel or None
        Share of wrong labels, if it was not counted with the transition.
    """

    transition: np.ndarray
    prior: np.ndarray | None = None
    attributes: dict = dataclasses.field(default_factory=dict)
    level: NoiseLevel | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class LabelEvidence:
    """What is known of the rows of a data set.

    Attributes
    ----------
    given : ndarray of shape (n_samples,), dtype intp
        Given labels of the rows that count and that nobody verified; -1 elsewhere.
    judged : ndarray of shape (n_samples,), dtype intp
        The same, -1 also where there are no probabilities.
    verified : ndarray of shape (n_samples,), dtype intp
        True classes of verified rows that count; -1 elsewhere.
    verified_given : ndarray of shape (n_samples,), dtype intp
        Given labels of the latter; -1 elsewhere, and where they have none.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities; where there are none, all the same.
    weight : ndarray of shape (n_samples,) or None
        Weights.
    random_state : RandomState instance or None
        Where to draw what is uncertain from, for a sample of the rows.
    """

    given: np.ndarray
    judged: np.ndarray
    verified: np.ndarray
    verified_given: np.ndarray
    pred_proba: np.ndarray
    weight: np.ndarray | None
    random_state: np.random.RandomState | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.pred_proba.shape[1]

    def known(self) -> np.ndarray:
        """Mass of verified rows by true class (rows) and given label (columns)."""
        return count_labels(self.verified, self.verified_given, self.n_classes, self.weight)

    def known_mass(self) -> np.ndarray:
        """Mass of verified rows by true class, of those that tell how labels go wrong if any do."""
        known = self.known()
        if known.any():
            return known.sum(axis=1)
        return np.asarray(class_weights(self.verified, self.n_classes, self.weight), dtype=float)

    def surprise(self) -> np.ndarray:
        """How improbable each given label is; NaN where there are no probabilities."""
        codes = np.where(self.verified >= 0, self.verified_given, self.judged)
        has_proba = np.ptp(self.pred_proba, axis=1) > 0
        return label_surprise(np.where(has_proba, codes, -1), self.pred_proba)

    def shrink(self, counts, guesses, *, shares=None) -> np.ndarray:
        """Estimate, or draw, a transition: see :func:`shrink_counts`."""
        return shrink_counts(counts, guesses, shares=shares, random_state=self.random_state)


class ProbaTransition(ProbaSource, TransitionEstimator):
    """Base class of estimators of transitions that look at probabilities of one classifier.

    The constructor of a subclass has the parameters `estimator`, `cv`, `n_bootstrap`, `n_jobs`
    and `random_state`. It writes ``_measure(evidence)``, which returns a :class:`Measured`.
    """

    # How many labels are wrong, which a subclass may make a parameter.
    noise_rate = "counted"
    # Whether the classifier learns verified labels instead of the given ones. It must not where
    # its probabilities are taken for those of given labels.
    _learns_verified = True

    _parameter_constraints: dict = {
        **ProbaSource._parameter_constraints,
        "n_bootstrap": [Interval(Integral, 0, None, closed="left")],
    }

    def _estimate(self, data) -> np.ndarray:
        counted = np.where(data.used, data.codes, -1)
        n_classes = len(data.classes)
        check_counted(class_weights(counted, n_classes, None) > 0, data.classes, "counts")
        evidence = self._look(data)
        measured = self._measure_noise(evidence)
        masses = np.asarray(class_weights(evidence.given, n_classes, evidence.weight), dtype=float)
        prior = measured.prior
        if masses.any():
            prior = solve_prior(measured.transition, masses) if prior is None else prior
            noise_rate = 1 - prior @ measured.transition.diagonal()
            if labels_look_overwritten(data, evidence.surprise(), noise_rate):
                warn_of_overwritten(data)
                nothing = np.full(data.n_samples, -1)
                evidence = dataclasses.replace(evidence, verified_given=nothing)
        vars(self).update(measured.attributes)
        known = evidence.known()
        transition = self._learn_known(evidence, known, measured.transition)
        if masses.any():
            prior = measured.prior
            prior = solve_prior(transition, masses) if prior is None else prior
            masses = masses.sum() * prior
        masses = masses + evidence.known_mass()
        vars(self).pop("transition_interval_", None)
        if self.n_bootstrap:
            self.transition_interval_ = self._interval(data, evidence)
        # A class of no mass has a row of the transition all the same.
        joint = np.maximum(masses, 1e-12 * masses.sum())[:, None] * transition
        self._set_reliability(measured.level, data, evidence, joint)
        return joint

    def _measure_noise(self, evidence) -> Measured:
        """Measure the transition, and how much noise there is unless that is counted as well."""
        measured = self._measure(evidence)
        if self.noise_rate == "counted":
            return measured
        level = estimate_noise_rate(evidence.judged, evidence.pred_proba, evidence.weight)
        if not level.n_rows > 0:
            return dataclasses.replace(measured, level=level)
        given = class_weights(evidence.given, evidence.n_classes, evidence.weight)
        prior = measured.prior
        if prior is None:
            prior = solve_prior(measured.transition, np.asarray(given, dtype=float))
        transition = scale_noise(measured.transition, prior, max(level.rate, LEAST_RATE))
        return Measured(transition, None, measured.attributes, level)

    def _set_reliability(self, level, data, evidence, joint) -> None:
        """Set the interval of the share of wrong labels, and how far it is to be relied on."""
        for name in ("noise_rate_interval_", "reliability_", "reliability_reason_"):
            vars(self).pop(name, None)
        if level is None:
            return
        others = data.mass(evidence.given >= 0)
        known = evidence.known()
        wrong = known.sum() - np.trace(known)
        low, high = (
            (end * others + wrong) / max(others + known.sum(), 1e-300)
            for end in (level.low, level.high)
        )
        rate = float(1 - np.trace(joint) / joint.sum())
        self.noise_rate_interval_ = min(float(low), rate), max(float(high), rate)
        self.reliability_, self.reliability_reason_ = level.reliability, level.reason

    def _look(self, data) -> LabelEvidence:
        """Gather the evidence."""
        given = np.where(data.used, data.codes, -1)
        to_learn = data
        if not self._learns_verified and (data.verified >= 0).any():
            to_learn = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
        proba = self._gather_evidence(to_learn).pred_proba
        has_proba = ~np.isnan(proba[:, 0])
        proba[~has_proba] = 1 / proba.shape[1]
        checked = data.used & (data.verified >= 0)
        unverified = np.where(checked, -1, given)
        return LabelEvidence(
            unverified,
            np.where(has_proba, unverified, -1),
            np.where(checked, data.verified, -1),
            np.where(checked, given, -1),
            proba,
            data.sample_weight,
        )

    def _measure(self, evidence) -> Measured:
        raise TypeError(f"{type(self).__name__} must implement _measure(evidence).")

    def _learn_known(self, evidence, known, transition) -> np.ndarray:
        """Go from the transition by unverified rows to what verified rows say as well."""
        return evidence.shrink(known, [transition]) if known.any() else transition

    def _interval(self, data, evidence) -> np.ndarray:
        """Draw rows again and again, and see how much the transition varies."""
        random_state = private_random_state(self.random_state)
        rows = np.flatnonzero((evidence.given >= 0) | (evidence.verified >= 0))
        # Copies of a row come and go together: they are not independent.
        labels = np.where(data.used, data.best_codes, -1)
        units = row_units(data.X, labels, None, data.sample_weight)[rows]
        units = np.unique(units, return_inverse=True)[1]
        n_units = int(units.max()) + 1
        weight = np.zeros(data.n_samples)
        mass = np.ones(len(rows)) if evidence.weight is None else evidence.weight[rows]
        samples = []
        for _ in range(self.n_bootstrap):
            repeats = random_state.multinomial(n_units, np.full(n_units, 1 / n_units))
            weight[rows] = mass * repeats[units]
            sample = dataclasses.replace(evidence, weight=weight, random_state=random_state)
            known = sample.known()
            # How far off a guess may be, verified rows tell; without any, what it is made of.
            guessing = dataclasses.replace(sample, random_state=None) if known.any() else sample
            transition = self._measure_noise(guessing).transition
            samples.append(self._learn_known(sample, known, transition))
        tail = (1 - CONFIDENCE) / 2
        return np.quantile(samples, [tail, 1 - tail], axis=0)
