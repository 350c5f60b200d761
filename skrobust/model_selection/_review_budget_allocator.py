"""Choice of the rows to review, to find errors or to measure a score."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.special import ndtri
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from skrobust.base._labels import encode_labels, encode_labels_like, encode_verified
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import float_column
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._typing import LabelsLike

# Beforehand, the quality counts as much as so many verified rows.
_PRIOR_ROWS = 100.0
# Features and clusters are scaled by so much, so that they are learned from last.
_FEATURE_SCALE = 0.3
_PENALTY = 0.3
_N_COMPONENTS = 10
_ROWS_PER_CLUSTER = 50
_MOST_CLUSTERS = 20
_MOST_PSEUDO_ROWS = 1000
# How far the quality of a single row is relied on, instead of the mean of all, for its variance.
_TRUST = 0.5


@fill_docstring
class ReviewBudgetAllocator:
    """Allocation of a review budget to the rows where a verified label is worth most.

    .. versionadded:: 0.1

    Parameters
    ----------
    purpose : {"find", "measure"}, default="find"
        - "find": as many wrong labels as possible. Rows are ranked by the probability of being
          wrong, learned from the rows verified so far, by quality, given label, and cluster and
          direction in X; before any is verified, each cluster has a share in proportion to its
          expected number of errors. Equal rows with equal labels are suggested once.
        - "measure": the narrowest interval of
          :func:`~skrobust.metrics.noise_corrected_score`. Rows are drawn at random with
          probabilities in proportion to the standard deviation of their label being right, and
          `verified_weight_` undoes the inequality.
    n_clusters : int, default=None
        Number of clusters of X, at least 1. None: one for fifty rows, at most 20.
    %(random_state)s

    Attributes
    ----------
    error_proba_ : ndarray of shape (n_samples,)
        Estimated probability that each label is wrong, for ``purpose="find"``.
    verified_weight_ : ndarray of shape (n_samples,)
        Inverse of the probability by which each row was drawn, 0 for the others, for
        ``purpose="measure"``.

    See Also
    --------
    FlipRateAuditor : Rates of wrong labels, with intervals.

    Notes
    -----
    Rows of ``purpose="find"`` are chosen because their labels are suspicious, and are no sample
    from which a score or a rate can be estimated.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.model_selection import ReviewBudgetAllocator
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 2))
    >>> truth = (X[:, 0] > 0).astype(int)
    >>> y_given = np.where(X[:, 1] > 1, 1 - truth, truth)  # wrong in one region
    >>> quality = rng.random(500)  # by a detector that sees nothing
    >>> allocator = ReviewBudgetAllocator(random_state=0)
    >>> verified = np.full(500, np.nan)
    >>> for _ in range(5):
    ...     rows = allocator.allocate(20, y_given, quality, X=X, verified_labels=verified)
    ...     verified[rows] = truth[rows]
    >>> found = np.count_nonzero(~np.isnan(verified) & (verified != y_given))
    >>> bool(found > 2 * 100 * np.mean(truth != y_given))
    True
    """

    error_proba_: np.ndarray
    verified_weight_: np.ndarray

    def __init__(
        self,
        *,
        purpose: str = "find",
        n_clusters: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.purpose = purpose
        self.n_clusters = n_clusters
        self.random_state = random_state

    def __repr__(self) -> str:
        return f"ReviewBudgetAllocator(purpose={self.purpose!r})"

    def allocate(
        self,
        n_rows: int,
        y: LabelsLike,
        label_quality: ArrayLike,
        *,
        X: Any = None,
        y_pred: ArrayLike | None = None,
        verified_labels: LabelsLike | None = None,
    ) -> np.ndarray:
        """Choose the rows to verify next.

        Parameters
        ----------
        n_rows : int
            Number of rows, at least 1; fewer are returned if there are not so many.
        y : array-like of shape (n_samples,)
            Given labels; rows without one are never chosen.
        label_quality : array-like of shape (n_samples,)
            Probability in [0, 1] of each label to be right, such as `label_quality_` of a
            detector. Rows with NaN are never chosen.
        X : array-like or sparse matrix of shape (n_samples, n_features), default=None
            Numeric features, for clusters and for what errors have in common. None: only quality
            and given labels are used.
        y_pred : array-like of shape (n_samples,), default=None
            Predictions of the model whose score is to be measured, for ``purpose="measure"``: rows
            where they differ from the given label are drawn more often.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a reviewer, missing where not verified. Verified rows are not
            chosen again. For ``purpose="measure"`` there must be none: all rows of a measurement
            are drawn at once.

        Returns
        -------
        rows : ndarray of shape (n_chosen,)
            Positions, the most valuable first; in ascending order for ``purpose="measure"``.

        Raises
        ------
        ValueError
            If a parameter is out of range, lengths differ, the quality is not in [0, 1], or no row
            is left.
        """
        self._check_parameters(n_rows)
        codes, classes = encode_labels(y)
        quality = float_column(label_quality, "label_quality")
        if len(quality) != len(codes):
            raise ValueError(f"label_quality has {len(quality)} entries, but y has {len(codes)}.")
        known = ~np.isnan(quality)
        if known.any() and (quality[known].min() < 0 or quality[known].max() > 1):
            raise ValueError("label_quality must be in [0, 1].")
        verified, wrong = _reviewed(codes, classes, verified_labels)
        open_rows = np.flatnonzero(known & (codes >= 0) & ~verified)
        if not len(open_rows):
            raise ValueError("No row is left that has a label, a quality and no verified label.")
        rng = private_random_state(self.random_state)
        if self.purpose == "measure":
            if verified.any():
                raise ValueError(
                    "purpose='measure' draws all rows at once, but"
                    f" {np.count_nonzero(verified)} are verified already."
                )
            disagree = _disagreement(codes, classes, y_pred)
            return self._draw(int(n_rows), quality, disagree, open_rows, rng)
        features = _features(X, len(codes), draw_seed(rng))
        clusters = self._cluster(features, len(codes), draw_seed(rng))
        rows = np.flatnonzero(known & (codes >= 0))
        doubt = np.zeros(len(codes))
        doubt[rows] = np.clip(1 - quality[rows], 0.02, 0.98)
        self.error_proba_ = doubt.copy()
        if verified.any():
            inputs = _inputs(quality, codes, len(classes), features, clusters, rows)
            self.error_proba_[rows] = _learn(
                inputs, doubt[rows], verified[rows], wrong[rows], draw_seed(rng)
            )
            ranked = open_rows[np.argsort(-self.error_proba_[open_rows], kind="stable")]
        else:
            ranked = _by_cluster(int(n_rows), doubt, clusters, open_rows)
        return _without_equals(ranked, codes, features, verified)[: int(n_rows)]

    def _check_parameters(self, n_rows) -> None:
        if self.purpose not in ("find", "measure"):
            raise ValueError(f"purpose must be 'find' or 'measure', got {self.purpose!r}.")
        clusters = 1 if self.n_clusters is None else self.n_clusters
        for name, value in (("n_rows", n_rows), ("n_clusters", clusters)):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")

    def _draw(self, n_rows: int, quality, disagree, open_rows, rng) -> np.ndarray:
        """Draw rows by probabilities in proportion to their standard deviations."""
        n_rows = min(n_rows, len(open_rows))
        variance = quality[open_rows] * (1 - quality[open_rows])
        variance[disagree[open_rows]] = 0.25  # whether the prediction is right is open
        calm = ~disagree[open_rows]
        if calm.any():
            mean = max(float(variance[calm].mean()), 1e-3)
            variance[calm] = _TRUST * variance[calm] + (1 - _TRUST) * mean
        deviation = np.sqrt(variance)
        share = np.minimum(_inclusion(deviation, n_rows), 1.0)
        order = rng.permutation(len(open_rows))
        ends = np.cumsum(share[order])
        marks = rng.uniform() + np.arange(n_rows)
        hit = np.minimum(np.searchsorted(ends, marks, side="right"), len(order) - 1)
        rows = np.unique(order[hit])
        self.verified_weight_ = np.zeros(len(quality))
        self.verified_weight_[open_rows[rows]] = 1 / share[rows]
        return np.sort(open_rows[rows])

    def _cluster(self, features, n_samples: int, seed: int) -> np.ndarray:
        if features is None:
            return np.zeros(n_samples, dtype=np.intp)
        n_clusters = self.n_clusters
        if n_clusters is None:
            n_clusters = min(max(n_samples // _ROWS_PER_CLUSTER, 1), _MOST_CLUSTERS)
        n_clusters = min(n_clusters, len(np.unique(features, axis=0)))
        return MiniBatchKMeans(n_clusters, n_init=3, random_state=seed).fit_predict(features)


def _reviewed(codes, classes, verified_labels) -> tuple[np.ndarray, np.ndarray]:
    """Verified rows, and those of them whose given label is wrong."""
    if verified_labels is None:
        nothing = np.zeros(len(codes), dtype=bool)
        return nothing, nothing
    found = encode_verified(verified_labels, classes)
    if len(found) != len(codes):
        raise ValueError(f"verified_labels has {len(found)} entries, but y has {len(codes)}.")
    return found >= 0, (found >= 0) & (found != codes)


def _disagreement(codes, classes, y_pred) -> np.ndarray:
    """Rows whose prediction is not the given label."""
    if y_pred is None:
        return np.zeros(len(codes), dtype=bool)
    predicted = encode_labels_like(y_pred, classes, name="y_pred")
    if len(predicted) != len(codes):
        raise ValueError(f"y_pred has {len(predicted)} entries, but y has {len(codes)}.")
    return predicted != codes


def _features(X, n_samples: int, seed: int) -> np.ndarray | None:
    """The directions in which rows differ most, of about equal scale."""
    if X is None:
        return None
    X = check_array(X, accept_sparse="csr", dtype=np.float64)
    if X.shape[0] != n_samples:
        raise ValueError(f"X has {X.shape[0]} rows, but y has {n_samples}.")
    X = StandardScaler(with_mean=not sparse.issparse(X)).fit_transform(X)
    if X.shape[1] > _N_COMPONENTS:
        X = TruncatedSVD(_N_COMPONENTS, random_state=seed).fit_transform(X)
    elif sparse.issparse(X):
        X = X.toarray()
    return X / max(float(X.std()), 1e-12)


def _inclusion(deviation, n_rows: int) -> np.ndarray:
    """Probabilities in proportion to the deviation that sum to the number of rows, at most 1."""
    share = np.zeros(len(deviation))
    sure = np.zeros(len(deviation), dtype=bool)
    while True:
        left = n_rows - np.count_nonzero(sure)
        share[~sure] = left * deviation[~sure] / deviation[~sure].sum() if (~sure).any() else 0.0
        over = ~sure & (share >= 1)
        if not over.any():
            share[sure] = 1.0
            return share
        sure |= over


def _inputs(quality, codes, n_classes: int, features, clusters, rows) -> np.ndarray:
    """What the probability of being wrong is learned from."""
    order = quality[rows].argsort(kind="stable").argsort(kind="stable")
    parts = [
        -ndtri((order + 0.5) / len(rows))[:, None],
        np.eye(n_classes)[codes[rows]],
    ]
    if features is not None:
        parts.append(_FEATURE_SCALE * features[rows])
        parts.append(_FEATURE_SCALE * np.eye(int(clusters.max()) + 1)[clusters[rows]])
    return np.hstack(parts)


def _learn(inputs, doubt, verified, wrong, seed: int) -> np.ndarray:
    """Probability of being wrong, of which the quality is the prior and verified rows the data."""
    rng = np.random.default_rng(seed)
    pseudo = rng.permutation(len(doubt))[:_MOST_PSEUDO_ROWS]
    known = np.flatnonzero(verified)
    soft = _PRIOR_ROWS / len(pseudo)
    X = np.vstack([inputs[known], inputs[pseudo], inputs[pseudo]])
    target = np.concatenate([wrong[known], np.ones(len(pseudo)), np.zeros(len(pseudo))])
    weight = np.concatenate([np.ones(len(known)), soft * doubt[pseudo], soft * (1 - doubt[pseudo])])
    model = LogisticRegression(C=_PENALTY, max_iter=500)
    return model.fit(X, target.astype(int), sample_weight=weight).predict_proba(inputs)[:, 1]


def _by_cluster(n_rows: int, doubt, clusters, open_rows) -> np.ndarray:
    """Rows by doubt, each cluster in proportion to the errors that are expected in it."""
    ranked = open_rows[np.argsort(-doubt[open_rows], kind="stable")]
    expected = np.bincount(clusters[open_rows], weights=doubt[open_rows])
    taken = np.zeros(len(expected))
    place = np.zeros(len(ranked))
    for position, cluster in enumerate(clusters[ranked]):
        # Sainte-Laguë's sequence: a cluster of twice the errors has twice the seats.
        place[position] = (2 * taken[cluster] + 1) / max(expected[cluster], 1e-12)
        taken[cluster] += 1
    return ranked[np.argsort(place, kind="stable")]


def _without_equals(ranked, codes, features, verified) -> np.ndarray:
    """Put rows last that equal an earlier or a verified one, and have the same label."""
    if features is None:
        return ranked
    rows = np.concatenate([np.flatnonzero(verified), ranked])
    keys = np.column_stack([codes[rows], features[rows].round(6)])
    _, first = np.unique(keys, axis=0, return_index=True)
    is_first = np.zeros(len(rows), dtype=bool)
    is_first[first] = True
    is_first = is_first[np.count_nonzero(verified) :]
    return np.concatenate([ranked[is_first], ranked[~is_first]])
