"""Target-decoy threshold, with estimates of the precision and the recall of its flags."""

import dataclasses
from numbers import Real

import numpy as np
from scipy.stats import norm
from sklearn.base import clone

from skrobust.base import LabelQualityThreshold, NoiseLevel, ThresholdInput, ThresholdResult
from skrobust.detection._decoys import decoy_curve
from skrobust.detection._target_decoys import exchange_targets, share_bounds
from skrobust.noise._noise_model import estimate_noise_rate, fit_noise_model
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval

# With fewer decoys below a threshold, the ratio that bounds the noise rate is due to chance.
_LEAST_RECALL = 0.2
# A bound this many times below the confident joint's rate means that decoys are unlike errors.
_MISMATCH = 4.0


class DecoyThreshold(LabelQualityThreshold):
    """Threshold of the quality by a target-decoy estimate of the false discovery rate.

    Rows are given labels that are wrong for sure, the decoys. Their ranks among the others show
    which share of the errors lies below a threshold (recall), and, with the noise rate, which
    share of the rows below it are errors (precision).

    Where the detector scores rows by models that were not trained on their labels, no model is
    fitted again: every row with every wrong label is a decoy, weighted by its probability under
    the noise model. This is fitted to the rows with the most confident predictions, so that
    asymmetric noise has asymmetric decoys. Detectors whose models are trained on the labels they
    score are fitted once more, with a tenth of the labels replaced.

    An entry of an indicator matrix has one wrong value only. A decoy among numeric targets is a
    row that is given the target of another row, or, where wrong targets evidently lie further
    off than that, one 2, 4, 8 or 16 times as far from the prediction.

    .. versionadded:: 0.1

    Parameters
    ----------
    precision : float, default=None
        Flag as many rows as possible while so large a share of them is estimated to be wrong.
        None maximises the estimated F1.
    decoy_share : float, default=0.1
        Share of the rows that become decoys, where the detector must be fitted again.
    confidence_level : float, default=0.9
        Coverage of the intervals, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of decoys, where the detector must be fitted again.

    Attributes
    ----------
    threshold_ : float
        Threshold of the quality: what lies below is flagged; 0 flags nothing.
    noise_rate_ : float
        Estimated share of wrong labels among the rows that are not verified.
    noise_rate_interval_ : tuple of (float, float)
        Its interval.
    estimated_precision_ : float
        Estimated share of wrong labels among the flagged ones; NaN where none is flagged.
    estimated_precision_interval_ : tuple of (float, float)
        Its interval.
    estimated_recall_ : float
        Estimated share of flagged labels among the wrong ones.
    estimated_recall_interval_ : tuple of (float, float)
        Its interval.
    n_decoys_ : float
        Number of labels replaced, where the detector was fitted again; else the total weight of
        the rows that decoys were made of.

    See Also
    --------
    EnsembleDetector : Uses such a threshold by default.
    MixtureThreshold : Splits the quality by a mixture of two components.

    Notes
    -----
    Precision and recall are estimates, and no better than that of the noise rate, which
    only verified rows can establish: wrong labels and labels that are hard
    to predict have similar scores. The intervals cover several ways to separate them, and chance.

    Wrong numeric targets are distinguished from right ones by their residuals, those of right ones
    being Student's, of three degrees of freedom or more. Errors that are no larger than the noise
    of right targets are not counted, nor can they be found.

    References
    ----------
    Elias and Gygi (2007). Target-decoy search strategy for increased confidence in large-scale
    protein identifications by mass spectrometry. Nature Methods 4.

    Storey (2002). A direct approach to false discovery rates. Journal of the Royal Statistical
    Society B 64.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.detection import ConfidentLearning, DecoyThreshold
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> detector = ConfidentLearning(GaussianNB(), threshold=DecoyThreshold()).fit(X, y_noisy)
    >>> low, high = detector.fitted_threshold_.estimated_precision_interval_
    >>> bool(low <= flipped[detector.label_errors_].mean() <= high)
    True
    """

    _parameter_constraints: dict = {
        "precision": [None, Interval(Real, 0, 1, closed="neither")],
        "decoy_share": [Interval(Real, 0, 0.5, closed="neither")],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    threshold_: float
    noise_rate_: float
    noise_rate_interval_: tuple[float, float]
    estimated_precision_: float
    estimated_precision_interval_: tuple[float, float]
    estimated_recall_: float
    estimated_recall_interval_: tuple[float, float]
    n_decoys_: float

    def __init__(
        self,
        *,
        precision: float | None = None,
        decoy_share: float = 0.1,
        confidence_level: float = 0.9,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.precision = precision
        self.decoy_share = decoy_share
        self.confidence_level = confidence_level
        self.random_state = random_state

    def select(self, inputs: ThresholdInput) -> ThresholdResult:
        """Choose the rows to flag.

        Parameters
        ----------
        inputs : ThresholdInput
            The labels and their quality.

        Returns
        -------
        result : ThresholdResult
            The rows to flag.
        """
        counted = inputs.rows & inputs.data.used
        if not counted.any():
            self._set_estimates(None, None, (0.0, 0.0, 0.0), 0.0)
            return ThresholdResult(np.zeros(len(counted), dtype=bool), 0.0, noise_rate=0.0)
        if not inputs.has_classes:
            result = inputs.result
            curve, *rates = exchange_targets(
                inputs.data,
                inputs.quality,
                result.quality_of,
                counted,
                result.errors,
                self.confidence_level,
            )
            n_decoys = inputs.data.total_weight(counted)
        elif inputs.parts or inputs.result.quality_of is not None:
            curve, rates, n_decoys = self._from_predictions(inputs)
        else:
            curve, rates, n_decoys = self._from_replaced(inputs, counted)
        place = curve.best(rates[0], self.precision)
        self._set_estimates(curve, place, rates, n_decoys)
        quality = np.where(np.isnan(inputs.quality), np.inf, inputs.quality)
        return ThresholdResult(
            inputs.rows & (quality < self.threshold_),
            self.threshold_,
            noise_rate=rates[0],
            noise_rate_interval=self.noise_rate_interval_,
        )

    def _from_predictions(self, inputs):
        """Compare with every error under the noise model, without a further fit."""
        parts = [_possible_errors(part) for part in inputs.parts or (inputs,)]
        parts = [part for part in parts if part is not None]
        weight = _join([part.weight for part in parts])
        table = _join([part.table for part in parts])
        curve = decoy_curve(
            _join([part.quality for part in parts]),
            table,
            _join([part.wrong for part in parts]),
            weight,
        )
        total = float(len(table) if weight is None else weight.sum())
        # The noise rate of each part counts by the weight of the part.
        totals = [len(p.codes) if p.weight is None else p.weight.sum() for p in parts]
        levels = [(p.level.rate, p.level.low, p.level.high) for p in parts]
        return curve, tuple(np.average(levels, axis=0, weights=totals).tolist()), total

    def _from_replaced(self, inputs, counted):
        """Replace some labels by wrong ones, and fit the detector again."""
        data, result = inputs.data, inputs.result
        rng = private_random_state(self.random_state)
        rows = np.flatnonzero(counted)
        n_classes = len(data.classes)
        n_replaced = max(1, round(self.decoy_share * len(rows)))
        replaced = np.sort(_replaceable(data, rng.choice(rows, n_replaced, replace=False)))
        n_replaced = len(replaced)
        pattern = np.ones((n_classes, n_classes))
        if result.joint is not None:
            # By given label: the noise of rows of that class, and a small share of all others.
            pattern += np.asarray(result.joint, dtype=np.float64).T
        np.fill_diagonal(pattern, 0)
        pattern /= pattern.sum(axis=1, keepdims=True)
        draws = rng.random_sample(n_replaced)[:, None]
        codes = data.y.copy()
        cumulated = pattern[codes[replaced]].cumsum(axis=1)
        codes[replaced] = np.minimum((cumulated < draws).sum(axis=1), n_classes - 1)
        again = clone(inputs.detector).set_params(threshold=None)
        quality = again._detect(dataclasses.replace(data, y=codes)).quality
        here = np.zeros(data.n_samples, dtype=bool)
        here[replaced] = True
        others = counted & ~here & ~np.isnan(quality)
        here &= ~np.isnan(quality)
        weight = data.sample_weight
        row_weight = np.ones(data.n_samples) if weight is None else weight
        curve = decoy_curve(
            quality[others],
            quality[here],
            row_weight[here],
            None if weight is None else weight[others],
        )
        enough = curve.recall > _LEAST_RECALL
        bound = 1.0 if here.any() else 0.0
        if enough.any():
            bound = min(1.0, float((curve.flagged[enough] / curve.recall[enough]).min()))
        if result.joint is not None:
            joint = np.asarray(result.joint, dtype=np.float64)
            counted_rate = float(1 - np.trace(joint) / joint.sum())
            if bound * _MISMATCH < counted_rate:
                bound = counted_rate
        error = np.sqrt(max(bound, 1 / len(rows)) / max(here.sum(), 1))
        low, high = share_bounds((bound,), bound, error, self.confidence_level)
        if not here.any():
            low, high = 0.0, 1.0
        return curve, (bound, low, high), float(here.sum())

    def _set_estimates(self, curve, place, rates, n_decoys) -> None:
        """Set the estimated attributes."""
        rate, lowest, highest = rates
        self.noise_rate_, self.noise_rate_interval_ = float(rate), (float(lowest), float(highest))
        self.n_decoys_ = n_decoys
        if place is None:
            self.threshold_ = 0.0
            self.estimated_precision_, self.estimated_recall_ = np.nan, 0.0
            self.estimated_precision_interval_ = (0.0, 1.0)
            self.estimated_recall_interval_ = (0.0, 1.0)
            return
        self.threshold_ = float(np.nextafter(curve.thresholds[place], np.inf))
        recall, flagged = float(curve.recall[place]), float(curve.flagged[place])
        margin = norm.ppf((1 + self.confidence_level) / 2) * np.sqrt(
            max(recall * (1 - recall), 1 / max(n_decoys, 1)) / max(n_decoys * max(rate, 1e-3), 1)
        )
        low, high = float(max(recall - margin, 0.0)), float(min(recall + margin, 1.0))
        self.estimated_recall_ = recall
        # With more errors than estimated, those are missed; with fewer, all the rest is found.
        self.estimated_recall_interval_ = (
            low * rate / highest,
            min(1.0, high * rate / lowest) if lowest > 0 else 1.0,
        )
        self.estimated_precision_ = min(1.0, rate * recall / flagged)
        self.estimated_precision_interval_ = (
            min(1.0, lowest * low / flagged),
            min(1.0, highest * high / flagged),
        )


def _replaceable(data, rows) -> np.ndarray:
    """Rows whose labels are to be replaced, without the last two of each class."""
    n_rows = np.bincount(data.y_train[data.used], minlength=len(data.classes))
    codes = data.y[rows]
    kept = [rows[codes == k][: max(n_rows[k] - 2, 0)] for k in range(len(data.classes))]
    return np.concatenate(kept)


@dataclasses.dataclass(frozen=True, eq=False)
class _PossibleErrors:
    """Rows, and every error that noise could have made of them."""

    codes: np.ndarray
    quality: np.ndarray
    table: np.ndarray  # (n_rows, n_classes) quality of each label
    wrong: np.ndarray  # (n_rows, n_classes) weight of each label as a wrong one
    level: NoiseLevel
    weight: np.ndarray | None


def _possible_errors(inputs) -> _PossibleErrors | None:
    """Weight each label of each row by its probability to be an error under the noise model."""
    data = inputs.data
    scored = ~np.isnan(inputs.quality) & data.used
    rows = np.flatnonzero(scored & (inputs.rows | data.checked))
    unverified = inputs.rows[rows]
    if not unverified.any():
        return None
    weight = None if data.sample_weight is None else data.sample_weight[rows]
    codes = data.y[rows]
    n_classes = len(data.classes)
    labels = np.empty(data.n_samples, dtype=np.intp)
    table = np.empty((len(rows), n_classes))
    for k in range(n_classes):
        labels[:] = k
        table[:, k] = inputs.result.quality_of(labels)[rows]
    proba = inputs.result.pred_proba
    if proba is None:
        # The quality of each label ranks classes like a probability.
        proba = table + 1e-6
        proba = proba / proba.sum(axis=1, keepdims=True)
    else:
        proba = proba[rows]
    level = inputs.result.level
    if level is None:
        level = estimate_noise_rate(codes, proba, weight)
    mass = np.ones(len(rows)) if weight is None else weight
    level = level.without(
        float(mass @ ~unverified / mass.sum()), float(mass @ data.known_errors[rows] / mass.sum())
    )
    model = fit_noise_model(codes, proba, weight, level=level, verified=data.verified[rows])
    codes, table = codes[unverified], table[unverified]
    wrong = model.error_proba(model.invert(proba[unverified]))
    if weight is not None:
        weight = weight[unverified]
        wrong = wrong * weight[:, None]
    quality = table[np.arange(len(codes)), codes]
    return _PossibleErrors(codes, quality, table, wrong, level, weight)


def _join(arrays) -> np.ndarray | None:
    """Concatenate the arrays of all parts, None if there are none."""
    return arrays[0] if len(arrays) == 1 else None if arrays[0] is None else np.concatenate(arrays)
