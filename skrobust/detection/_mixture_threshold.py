"""Threshold by a mixture of normal distributions of the quality."""

from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from skrobust.base import LabelQualityThreshold, ThresholdInput, ThresholdResult
from skrobust.detection._mixture_1d import fit_mixture
from skrobust.utils._error_messages import explain_names
from skrobust.utils._sklearn import Interval, StrOptions
from skrobust.utils._typing import LabelsLike
from skrobust.utils._weights import check_sample_weight

# Qualities nearer to 0 or 1 than this are not distinguished.
_MARGIN = 1e-3
TRANSFORMS = ("logit", "log", "identity")


class MixtureThreshold(LabelQualityThreshold):
    """Threshold of the quality by a mixture of normal distributions.

    A mixture of normal distributions is fitted to the transformed quality, and rows that are most
    likely of the lowest component are flagged. Where the quality has no separate mode of wrong
    labels, nothing is: two components fit a skewed distribution better than one as well, but no
    wrong labels can be inferred from that.

    .. versionadded:: 0.1

    Parameters
    ----------
    transform : {"logit", "log", "identity"}, default="logit"
        Values that are fitted: log(q / (1 - q)), or log(q), which is minus the loss where the
        quality is a probability, or the quality itself. The ends of [0, 1] are rounded to .001
        and .999.
    n_components : {2, 3}, default=3
        With 2, labels are right or wrong, and there must be a valley between the two modes. With
        3, right labels may be of easy or of hard rows; the lowest mode needs no valley, but must
        lie where a label is less likely than not, at a quality below one half. Of numeric
        targets, it must lie where the residual is larger than its uncertainty.
    precision : float, default=None
        Flag as many rows as possible while so large a share of them is expected to be wrong.
        None flags the rows that are more likely wrong than right.
    per_class : bool, default=False
        Fit a mixture for each given class, so that harder classes are not flagged more. Of an
        indicator matrix, the classes are "not given" and "given" for each label. Not for numeric
        targets, which have no classes.

    Attributes
    ----------
    is_bimodal_ : bool
        Whether there is a separate mode of wrong labels; with `per_class`, in any class.
    threshold_ : float or None
        Threshold of the quality, 0 where nothing is flagged; None with `per_class`.
    class_thresholds_ : ndarray of shape (n_classes,)
        Threshold of each class, with `per_class`; of an indicator matrix, those for entries
        that are 0 and 1 of the first label, then of the second, and so on.
    noise_rate_ : float
        Share of the lowest component.
    estimated_precision_ : float
        Expected share of wrong labels among the flagged ones; NaN where none is flagged.
    estimated_recall_ : float
        Expected share of flagged labels among the wrong ones; NaN where there is none.

    See Also
    --------
    ConsensusMixture : Such mixtures of several models.

    References
    ----------
    Arazo, Ortego, Albert, O'Connor and McGuinness (2019). Unsupervised label noise modeling and
    loss correction. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.detection import MixtureThreshold
    >>> rng = np.random.default_rng(0)
    >>> quality = np.concatenate([rng.beta(2, 8, 100), rng.beta(8, 2, 900)])
    >>> threshold = MixtureThreshold().fit(quality)
    >>> threshold.is_bimodal_, round(threshold.noise_rate_, 2)
    (True, 0.09)
    >>> int((quality < threshold.threshold_).sum())
    90
    """

    _parameter_constraints: dict = {
        "transform": [StrOptions(set(TRANSFORMS))],
        "n_components": [Interval(Integral, 2, 3, closed="both")],
        "precision": [None, Interval(Real, 0, 1, closed="neither")],
        "per_class": ["boolean"],
    }

    def __init__(
        self,
        *,
        transform: str = "logit",
        n_components: int = 3,
        precision: float | None = None,
        per_class: bool = False,
    ):
        self.transform = transform
        self.n_components = n_components
        self.precision = precision
        self.per_class = per_class

    @property
    def needs_classes(self) -> bool:
        """Whether the rows to flag must have classes."""
        return bool(self.per_class)

    @explain_names
    def fit(
        self,
        quality: ArrayLike,
        *,
        y: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Find the threshold of qualities.

        Parameters
        ----------
        quality : array-like of shape (n_samples,)
            Quality of labels, in [0, 1]. NaN takes no part.
        y : array-like of shape (n_samples,), default=None
            Given labels, for `per_class`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            This threshold, fitted.
        """
        self.validate()
        quality = np.asarray(quality, dtype=np.float64)
        if quality.ndim != 1:
            raise ValueError(f"quality must be one-dimensional, got shape {quality.shape}.")
        known = ~np.isnan(quality)
        if not known.any():
            raise ValueError("quality has no entry that is not NaN.")
        if quality[known].min() < 0 or quality[known].max() > 1:
            raise ValueError("quality must lie in [0, 1].")
        weight = None if sample_weight is None else check_sample_weight(sample_weight, quality)
        codes = np.zeros(len(quality), dtype=np.intp)
        if self.per_class:
            if y is None:
                raise ValueError("per_class=True needs y, the given labels.")
            if len(y) != len(quality):
                raise ValueError(f"y has {len(y)} labels for {len(quality)} qualities.")
            codes = np.unique(y, return_inverse=True)[1]
        self._fit(quality, codes, known, weight, codes.max() + 1)
        return self

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
        weight = inputs.data.sample_weight
        counted = inputs.rows if weight is None else inputs.rows & (weight > 0)
        n_classes = len(inputs.data.classes) if self.per_class else 1
        n_rows = len(inputs.rows)
        codes = inputs.data.y if self.per_class else np.zeros(n_rows, dtype=np.intp)
        errors = np.zeros(len(codes), dtype=bool)
        if counted.any():
            doubtful = inputs.doubtful_below
            self._fit(inputs.quality, codes, counted, weight, n_classes, doubtful)
            rows = inputs.rows
            errors[rows] = inputs.quality[rows] < self._thresholds[codes[rows]]
        else:
            self._record(np.zeros(n_classes), False, (0.0, 0.0, 0.0, 1.0))
        return ThresholdResult(errors, self.threshold_, None, self.noise_rate_)

    def flag_new(self, quality: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Flag new rows by the thresholds that :meth:`select` found.

        Parameters
        ----------
        quality : ndarray of shape (n_samples,)
            Quality of labels; NaN where the label is missing.
        codes : ndarray of shape (n_samples,)
            Given labels, as positions in the classes of the detector; -1 where missing.

        Returns
        -------
        errors : ndarray of shape (n_samples,) of bool
            Rows to flag.
        """
        return quality < self._thresholds[np.maximum(codes, 0) if self.per_class else 0]

    def _fit(self, quality, codes, rows, weight, n_classes, doubtful_below=0.5) -> None:
        """Fit a mixture to each class."""
        thresholds, bimodal = np.zeros(n_classes), False
        sums = np.zeros(4)  # weight of the wrong, of the flagged, of both, of all
        for k in range(n_classes):
            own = rows & (codes == k)
            amount = np.ones(own.sum()) if weight is None else weight[own]
            if not own.any() or amount.sum() == 0:
                continue
            values = self._transformed(quality[own])
            mixture = fit_mixture(-values, amount, n_components=self.n_components)
            sums[3] += amount.sum()
            if not self._has_wrong_mode(mixture, doubtful_below):
                continue
            bimodal = True
            wrong = mixture.upper(-values)
            threshold = self._find_threshold(mixture, wrong, values, amount)
            flagged = values < threshold
            thresholds[k] = self._back(threshold)
            sums[0] += amount @ wrong
            sums[1] += amount[flagged].sum()
            sums[2] += amount[flagged] @ wrong[flagged]
        self._record(thresholds, bimodal, sums)

    def _has_wrong_mode(self, mixture, doubtful_below) -> bool:
        """Whether the lowest component is one of wrong labels."""
        if mixture is None:
            return False
        if self.n_components == 2:
            return mixture.is_bimodal
        return mixture.bic_gain > 0 and self._back(-mixture.means[-1]) < doubtful_below

    def _record(self, thresholds, bimodal, sums) -> None:
        """Set the fitted attributes."""
        wrong, flagged, both, total = sums
        self._thresholds = thresholds
        self.is_bimodal_: bool = bimodal
        self.threshold_: float | None = None if self.per_class else float(thresholds[0])
        if self.per_class:
            self.class_thresholds_: np.ndarray = thresholds
        self.noise_rate_: float = float(wrong / total)
        self.estimated_precision_: float = float(both / flagged) if flagged > 0 else np.nan
        self.estimated_recall_: float = float(both / wrong) if wrong > 0 else np.nan

    def _find_threshold(self, mixture, wrong, values, amount) -> float:
        """Threshold of the transformed quality."""
        if self.precision is None:
            return -mixture.threshold(0.5)
        order = np.argsort(values, kind="stable")
        ends = np.append(np.diff(values[order]) > 0, True)
        found = (np.cumsum((wrong * amount)[order]) / np.cumsum(amount[order]))[ends]
        enough = np.flatnonzero(found >= self.precision)
        if not len(enough):
            return -np.inf
        distinct = values[order][ends]
        last = enough[-1]
        # Between two values, so that rounding on the way back to the quality has no effect.
        return float((distinct[last] + distinct[min(last + 1, len(distinct) - 1)]) / 2) + (
            1e-9 if last == len(distinct) - 1 else 0.0
        )

    def _transformed(self, quality) -> np.ndarray:
        """Transform qualities, the ends of [0, 1] rounded."""
        quality = np.clip(quality, _MARGIN, 1 - _MARGIN)
        if self.transform == "logit":
            return logit(quality)
        return np.log(quality) if self.transform == "log" else quality

    def _back(self, threshold: float) -> float:
        """Map a threshold of the transformed quality to one of the quality."""
        back = {"logit": expit, "log": np.exp, "identity": float}[self.transform](threshold)
        if not back > _MARGIN:
            return 0.0
        return 1.0 if back > 1 - _MARGIN else float(back)
