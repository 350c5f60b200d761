"""Transition estimator from verified rows."""

import dataclasses

import numpy as np

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence
from skrobust.noise._anchor_transition import find_anchors
from skrobust.noise._noise_model import CONFIDENT_SHARE, count_labels, symmetric_prior
from skrobust.noise._proba_transition import (
    DOCUMENTATION,
    PredictedRows,
    ProbaTransition,
    TransitionEstimate,
)
from skrobust.utils._docstring import fill_docstring

# Prior probabilities of the three prior matrices: anchors, mean probabilities of verified rows,
# symmetric noise.
_PRIOR_SHARES = (0.9, 0.05, 0.05)


@dataclasses.dataclass(frozen=True, eq=False)
class _VerifiedRows(PredictedRows):
    """Rows with the probabilities of a model trained on given labels only, NaN where missing."""

    given_proba: np.ndarray | None = None

    def gold_weights(self) -> np.ndarray:
        """Sum the probabilities of given labels (columns) of verified rows by true class (rows)."""
        proba = self.given_proba
        rows = np.flatnonzero((self.verified >= 0) & ~np.isnan(proba[:, 0]))
        proba = proba[rows].astype(np.float64, copy=False)
        if self.weight is not None:
            proba = proba * self.weight[rows, None]
        total = np.zeros((self.n_classes, self.n_classes))
        np.add.at(total, self.verified[rows], proba)
        return total


@fill_docstring(
    **DOCUMENTATION,
    two_fits="""
estimator : classifier with ``predict_proba``, default=None
    Model whose out-of-sample probabilities are used, cloned. It is fitted twice: to given labels,
    for the gold loss correction, and to verified labels where there are some, for better anchors.

    - None: out-of-bag probabilities of 300 extremely randomised trees with at least five rows per
      leaf, from a single fit. Needs a numeric feature matrix.
    - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
    - Any other classifier: its out-of-fold probabilities. X is passed on as it is.""",
)
class TrustedTransition(ProbaTransition):
    """Transition estimator from verified rows, an extension of gold loss correction.

    The given labels of verified rows are counted by true class. Where these rows are few, the
    counts are shrunk towards what a classifier of given labels predicts. ``fit`` requires
    `verified_labels`.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(two_fits)s
    %(noise_rate)s
    %(cv)s
    %(n_bootstrap)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(transition_matrix_)s
    gold_transition_ : ndarray of shape (n_classes, n_classes)
        Estimate of the gold loss correction alone: mean probabilities of given labels of the
        verified rows of each class. A row of NaN where there are none.
    %(interval)s
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the true classes. Those of unverified rows are shares for which the transition
        matrix yields the given shares; verified rows are counted.
    %(rate_attributes)s
    %(classes_)s
    %(features_in)s

    See Also
    --------
    AnchorTransition : Needs no verified rows.

    Notes
    -----
    The gold loss correction takes the mean probabilities of given labels, as predicted by a
    classifier, of the verified rows of each class. Where the classifier is uncertain about the
    class of a row, these are more dispersed than the labels are. Hence they are one of three prior
    matrices here, beside the counts of anchors, as of :class:`AnchorTransition`, and symmetric
    noise. The counts of given labels among the verified rows of each class are multinomial with a
    Dirichlet prior, whose mean is one of these matrices, and whose weight in rows is the one that
    the counts of all classes support. A class with many verified rows depends on its own counts,
    one with few or none on the prior that fits the others.

    Where anchors are accurate, :class:`AnchorTransition` with the same verified rows is as
    accurate, and fits one model instead of two. Where the classifier hardly distinguishes the
    classes, this estimator is more accurate.

    The noise rate of unverified rows is extrapolated by default. On six data sets of 3 000 rows
    with 20 and 35 % of symmetric, pair and random noise, the mean share of the labels of a class
    that its row of the matrix misplaces is .044 with 2 % of verified rows and .040 with 10 %,
    against .047 and .042 with ``noise_rate="counted"``
    (``benchmarks/transition_estimators.py``).

    Verified rows should be drawn at random, from all rows or within classes. Among rows that were
    chosen because their labels look wrong, more are wrong than among others.

    References
    ----------
    Hendrycks, Mazeika, Wilson and Gimpel (2018). Using trusted data to train deep networks on
    labels corrupted by severe noise. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import TrustedTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [3, 0], [0, 3]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> verified = np.full(1000, np.nan)
    >>> verified[:100] = y[:100]
    >>> estimator = TrustedTransition(random_state=0).fit(X, y_noisy, verified_labels=verified)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.05)
    True
    """

    def _estimate(self, data: LabelledData, evidence: Evidence | None = None) -> np.ndarray:
        if not (data.used & data.checked).any():
            raise ValueError(
                "TrustedTransition needs verified_labels: the true classes of some rows, and None"
                " or NaN for all others. Without any, use AnchorTransition or another estimator."
            )
        return super()._estimate(data, evidence)

    def _predict_rows(self, data: LabelledData, evidence: Evidence | None) -> _VerifiedRows:
        rows = super()._predict_rows(data, evidence)
        unverified = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
        given_proba = self.collect_evidence(unverified).pred_proba
        return _VerifiedRows(**vars(rows), given_proba=given_proba)

    def _count(self, rows: _VerifiedRows) -> TransitionEstimate:
        anchors = find_anchors(rows, CONFIDENT_SHARE)
        counts = count_labels(anchors, rows.scored, rows.n_classes, rows.weight)
        gold = rows.gold_weights()
        with np.errstate(invalid="ignore"):
            attributes = {"gold_transition_": gold / gold.sum(axis=1, keepdims=True)}
        transition = rows.shrink(counts, [symmetric_prior(counts)])
        return TransitionEstimate(transition, attributes=attributes)

    def _add_verified(
        self, rows: _VerifiedRows, counts: np.ndarray, transition: np.ndarray
    ) -> np.ndarray:
        if not counts.any():  # no verified row has a given label
            return transition
        symmetric = symmetric_prior(counts)
        # A class without verified rows has the symmetric row.
        gold = rows.gold_weights() + symmetric
        gold /= gold.sum(axis=1, keepdims=True)
        return rows.shrink(counts, [transition, gold, symmetric], shares=_PRIOR_SHARES)
