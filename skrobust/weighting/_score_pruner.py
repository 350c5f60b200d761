"""Reweighter that keeps a window of the rows in the order of any score."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import indexable

from skrobust.base import LabelledData
from skrobust.base._labelled_data import decode_labels
from skrobust.base._labels import encode_labels_like
from skrobust.detection import TrainingDynamics
from skrobust.detection._training_dynamics import STATISTICS, quality_from
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, StrOptions, safe_indexing
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._weights import upper_threshold
from skrobust.weighting._detector_reweighter import DOCUMENTATION, DetectorReweighter

_QUALITY = "label_quality"
SOURCES = (_QUALITY, *STATISTICS)


@fill_docstring(**DOCUMENTATION)
class ScorePruner(DetectorReweighter):
    """Data pruning by a score: keep a window of the rows, without the hardest and the easiest.

    The hardest rows often have wrong labels, and the easiest ones are redundant for the model. A
    window between them makes a smaller training set.

    .. versionadded:: 0.1

    Parameters
    ----------
    statistic : {"label_quality", "aum", "aum_logits", "el2n", "grand", "forgetting", \
            "mean_loss", "oscillation"}, default="label_quality"
        Difficulty of a row: one minus the quality of its label, by any detector; or a statistic of
        :class:`~skrobust.detection.TrainingDynamics`.
    offset : float, default=None
        Share of the rows, the hardest first, that is left out, in [0, 1). None leaves out the rows
        that the detector flags; 0 none, which is for clean labels only.
    keep : float, default=None
        Share of all rows that is kept, the hardest first of those left by `offset`, in (0, 1].
        None keeps all of them.
    per_class : bool, default=True
        Whether shares are counted in each class, so that no class loses more rows than others. A
        class never loses all of its rows in any case.
    detector : label-error detector, default=None
        Detector whose score is used, cloned. None is
        :class:`~skrobust.detection.EnsembleDetector` for "label_quality", and
        :class:`~skrobust.detection.TrainingDynamics` for the others; both need a numeric feature
        matrix. Any quality score of a detector will do, such as the margin with
        ``ConfidentLearning(quality_method="normalized_margin")``. For the others, pass a
        :class:`~skrobust.detection.TrainingDynamics`, whose `statistic` is set to the same.
    %(detector_params)s

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,)
        0 for rows that are left out, and equal for all others, with mean 1.
    %(sample_indices_)s
    difficulty_ : ndarray of shape (n_samples,)
        The score, higher for harder rows; NaN where the label is missing or not scored.
    %(detector_)s
    %(classes_)s
    %(features_in)s

    See Also
    --------
    QualityReweighter : Weights rows instead of leaving them out.
    skrobust.wrappers.CleaningClassifier : Leaves out flagged rows, and trains.

    Notes
    -----
    Shares are of the total `sample_weight`, where there is one. Rows of equal score are kept or
    left out together, so that shares may be missed by one group of them.

    Rows with a verified label are always kept, with that label, and count in no share. Rows that
    are not scored, as the only one of a class, are kept.

    References
    ----------
    Paul, Ganguli and Dziugaite (2021). Deep learning on a data diet: finding important examples
    early in training. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.weighting import ScorePruner
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> pruner = ScorePruner("el2n", offset=0.25, keep=0.5, random_state=0)
    >>> X_kept, y_kept = pruner.fit_resample(X, y_noisy)
    >>> bool(70 <= len(y_kept) <= 80), bool(flipped[pruner.sample_indices_].mean() < 0.05)
    (True, True)
    """

    _parameter_constraints: dict = {
        **DetectorReweighter._parameter_constraints,
        "statistic": [StrOptions(set(SOURCES))],
        "offset": [None, Interval(Real, 0, 1, closed="left")],
        "keep": [None, Interval(Real, 0, 1, closed="right")],
        "per_class": ["boolean"],
    }

    def __init__(
        self,
        statistic: str = "label_quality",
        *,
        offset: float | None = None,
        keep: float | None = None,
        per_class: bool = True,
        detector: BaseEstimator | None = None,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.statistic = statistic
        self.offset = offset
        self.keep = keep
        self.per_class = per_class
        self.detector = detector
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _get_detector(self) -> Any:
        if self.detector is None and self.statistic != _QUALITY:
            return TrainingDynamics(statistic=self.statistic)
        return super()._get_detector()

    def fit_resample(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> tuple[Any, np.ndarray]:
        """Select the rows to keep, and return them.

        Parameters
        ----------
        %(X)s
        %(y)s
        %(verified_labels)s
        %(sample_weight)s
        %(groups)s

        Returns
        -------
        X_resampled : array-like of length n_kept
            Rows that are kept, of the type of `X`.
        y_resampled : array-like of shape (n_kept,)
            Their labels: of the type of `y`, or an array if there are verified labels, which
            replace given ones.
        """
        self.fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups)
        X, y = indexable(X, y)
        rows = self.sample_indices_
        y_kept = safe_indexing(y, rows)
        if verified_labels is not None:
            given = encode_labels_like(y, self.classes_, name="y")
            verified = encode_labels_like(verified_labels, self.classes_, name="verified_labels")
            best = np.where(verified >= 0, verified, given)
            y_kept = decode_labels(best[rows], self.classes_)
        return safe_indexing(X, rows), y_kept

    def _weigh(self, data: LabelledData) -> np.ndarray:
        detector = self._fit_detector(data)
        if self.statistic == _QUALITY:
            self.difficulty_: np.ndarray = 1 - detector.label_quality_
        else:
            dynamics = detector.dynamics_
            self.difficulty_ = 1 - quality_from(
                self.statistic, dynamics[self.statistic], confidence=dynamics["confidence"]
            )
        kept = self._window(data, detector.label_errors_)
        self.sample_indices_: np.ndarray = np.flatnonzero(kept)
        return kept

    def _make_detector(self) -> Any:
        detector = super()._make_detector()
        if self.statistic == _QUALITY:
            return detector
        if not isinstance(detector, TrainingDynamics):
            raise TypeError(
                f"statistic={self.statistic!r} is computed during training: detector must be a"
                f" TrainingDynamics or None, got {type(detector).__name__}. With any other"
                f" detector use statistic={_QUALITY!r}."
            )
        return detector.set_params(statistic=self.statistic)

    def _window(self, data: LabelledData, flagged: np.ndarray) -> np.ndarray:
        """Return the mask of rows in the window, and of rows that are kept in any case."""
        hard = self.difficulty_
        scored = data.used & ~data.checked & ~np.isnan(hard)
        kept = data.used & ~scored
        skipped = np.zeros(data.n_samples, dtype=bool)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        members = _rows_by_class(data.y, scored, len(data.classes))
        for rows in members if self.per_class else [np.flatnonzero(scored)]:
            total = weight[rows].sum()
            if self.offset is None:
                out = flagged[rows]
            else:
                out = hard[rows] >= upper_threshold(hard[rows], self.offset * total, weight[rows])
            skipped[rows[out]] = True
            rows = rows[~out]
            if self.keep is not None:
                threshold = upper_threshold(hard[rows], self.keep * total, weight[rows])
                rows = rows[hard[rows] >= threshold]
            kept[rows] = True
        present = np.bincount(data.y_train[kept], minlength=len(data.classes)) > 0
        for k in np.flatnonzero(~present):
            rows = members[k]
            if len(rows):
                # The class keeps the rows nearest to the window, and all that are tied.
                rest = rows[~skipped[rows]]
                nearest = hard[rest].max() if len(rest) else hard[rows].min()
                kept[rows[hard[rows] == nearest]] = True
        return kept


def _rows_by_class(codes: np.ndarray, chosen: np.ndarray, n_classes: int) -> list[np.ndarray]:
    """Split the indices of the chosen rows by class."""
    rows = np.flatnonzero(chosen)
    order = np.argsort(codes[rows], kind="stable")
    ends = np.searchsorted(codes[rows][order], np.arange(1, n_classes))
    return np.split(rows[order], ends)
