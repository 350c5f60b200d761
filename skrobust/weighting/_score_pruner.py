"""Keep a window of the rows, in the order of any score."""

from numbers import Real

import numpy as np
from sklearn.utils import indexable

from skrobust.base._labels import decode_labels, encode_labels_like
from skrobust.detection import TrainingDynamics
from skrobust.detection._dynamics_statistics import STATISTICS, quality_from
from skrobust.utils._sklearn import Interval, StrOptions, safe_indexing
from skrobust.utils._weighted_quantiles import upper_threshold
from skrobust.weighting._detector_reweighter import DetectorReweighter

_QUALITY = "label_quality"
SOURCES = (_QUALITY, *STATISTICS)


class ScorePruner(DetectorReweighter):
    """Keep the rows in a window of a score, and leave out harder and easier ones.

    In the order from the hardest rows to the easiest, the first ones often have wrong labels, and
    the last ones tell a model little that it does not know already. A window between them makes
    a smaller set of rows to train on.

    .. versionadded:: 0.1

    Parameters
    ----------
    statistic : {"label_quality", "aum", "el2n", "grand", "forgetting", "mean_loss", \
            "oscillation"}, default="label_quality"
        What makes a row hard: a low quality of its label, by any detector; or one of the
        statistics that :class:`~skrobust.detection.TrainingDynamics` gathers in a training.
    offset : float, default=None
        Share of the rows, the hardest first, that is left out. None leaves out those that the
        detector flags as wrong. 0 leaves out none, which is for clean labels only.
    keep : float, default=None
        Share of all rows that is kept, the hardest first of what is left after `offset`. None
        keeps all of it.
    per_class : bool, default=True
        Count shares in each class, so that a class does not lose more rows than others because
        it is harder, or because it is easier. A class never loses all of its rows in any case.
    detector : label-error detector, default=None
        What the score is taken from, cloned. None is
        :class:`~skrobust.detection.EnsembleDetector` for "label_quality", and
        :class:`~skrobust.detection.TrainingDynamics` for the others; both need a table of
        numbers. The quality may be any that a detector has, as the margin is with
        ``ConfidentLearning(quality_method="normalized_margin")``. For the others, pass a
        :class:`~skrobust.detection.TrainingDynamics`, whose own `statistic` is set to the
        same.
    cv : int, splitter or iterable of (train, test), default=None
        If not None, set as `cv` of the detector.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the detector.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the detector.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,)
        0 for rows that are left out, and the same for all others, so that the mean is 1.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept.
    difficulty_ : ndarray of shape (n_samples,)
        The score, the higher the harder; NaN where the label is missing or cannot be judged.
    detector_ : label-error detector
        The fitted detector.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    QualityReweighter : Weighs rows instead of leaving them out.
    skrobust.wrappers.CleaningClassifier : Leaves out the rows that are flagged, and trains.

    Notes
    -----
    Shares are of the weight, where there is `sample_weight`. Rows of equal score share one fate,
    so that shares may be missed by as much as one group of them.

    Rows whose label a person verified are always kept, with that label, and count in no share.
    Rows that cannot be judged, as the only one of a class, are kept.

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
        statistic="label_quality",
        *,
        offset=None,
        keep=None,
        per_class=True,
        detector=None,
        cv=None,
        n_jobs=None,
        random_state=None,
    ):
        self.statistic = statistic
        self.offset = offset
        self.keep = keep
        self.per_class = per_class
        self.detector = detector
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _get_detector(self):
        if self.statistic == _QUALITY:
            return super()._get_detector()
        return (
            TrainingDynamics(statistic=self.statistic) if self.detector is None else self.detector
        )

    def fit_resample(self, X, y, *, verified_labels=None, sample_weight=None):
        """Choose the rows to keep, and return them.

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

        Returns
        -------
        X_resampled : array-like of length n_kept
            Rows that are kept, of the type of `X`.
        y_resampled : array-like of shape (n_kept,)
            Their labels: of the type of `y`, or an array if there are verified labels, which
            stand in the place of given ones.
        """
        self.fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight)
        X, y = indexable(X, y)
        rows = self.sample_indices_
        y_kept = safe_indexing(y, rows)
        if verified_labels is not None:
            given = encode_labels_like(y, self.classes_, name="y")
            verified = encode_labels_like(verified_labels, self.classes_, name="verified_labels")
            best = np.where(verified >= 0, verified, given)
            y_kept = decode_labels(best[rows], self.classes_)
        return safe_indexing(X, rows), y_kept

    def _weigh(self, data) -> np.ndarray:
        if self.statistic != _QUALITY:
            detector = self._get_detector()
            if not isinstance(detector, TrainingDynamics):
                raise TypeError(
                    f"statistic={self.statistic!r} is gathered in a training: detector must be a"
                    f" TrainingDynamics or None, got {type(detector).__name__}. With any other"
                    f" detector use statistic={_QUALITY!r}."
                )
        detector = self._fit_detector(data)
        self.difficulty_ = self._difficulty(detector)
        kept = self._window(data, detector.label_errors_)
        self.sample_indices_ = np.flatnonzero(kept)
        return kept

    def _make_detector(self):
        detector = super()._make_detector()
        return (
            detector
            if self.statistic == _QUALITY
            else detector.set_params(statistic=self.statistic)
        )

    def _difficulty(self, detector) -> np.ndarray:
        """Take the score from the detector, the higher the harder."""
        if self.statistic == _QUALITY:
            return 1 - detector.label_quality_
        seen = detector.dynamics_
        return 1 - quality_from(self.statistic, seen[self.statistic], confidence=seen["confidence"])

    def _window(self, data, flagged) -> np.ndarray:
        """Find the rows in the window, and those that are kept in any case."""
        hard = self.difficulty_
        judged = data.used & (data.verified < 0) & ~np.isnan(hard)
        kept = data.used & ~judged
        skipped = np.zeros(data.n_samples, dtype=bool)
        mass = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        members = _rows_by_class(data.y, judged, len(data.classes))
        for rows in members if self.per_class else [np.flatnonzero(judged)]:
            total = mass[rows].sum()
            if self.offset is None:
                out = flagged[rows]
            else:
                out = hard[rows] >= upper_threshold(hard[rows], self.offset * total, mass[rows])
            skipped[rows[out]] = True
            rows = rows[~out]
            if self.keep is not None:
                cut = upper_threshold(hard[rows], self.keep * total, mass[rows])
                rows = rows[hard[rows] >= cut]
            kept[rows] = True
        present = np.bincount(data.y_train[kept], minlength=len(data.classes)) > 0
        for k in np.flatnonzero(~present):
            rows = members[k]
            if len(rows):
                # The class keeps what is nearest to the window, and of equal rows all.
                rest = rows[~skipped[rows]]
                nearest = hard[rest].max() if len(rest) else hard[rows].min()
                kept[rows[hard[rows] == nearest]] = True
        return kept


def _rows_by_class(codes, chosen, n_classes) -> list[np.ndarray]:
    """Split the numbers of the chosen rows by class."""
    rows = np.flatnonzero(chosen)
    order = np.argsort(codes[rows], kind="stable")
    ends = np.searchsorted(codes[rows][order], np.arange(1, n_classes))
    return np.split(rows[order], ends)
