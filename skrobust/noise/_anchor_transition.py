"""Transition estimator from anchors, the most confident rows of each class."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from skrobust.noise._confident_joint import class_weights
from skrobust.noise._noise_model import confident_rows, count_labels, symmetric_prior
from skrobust.noise._proba_transition import (
    DOCUMENTATION,
    PredictedRows,
    ProbaTransition,
    TransitionEstimate,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, StrOptions
from skrobust.utils._typing import CrossValidation
from skrobust.utils._weights import weighted_median


@fill_docstring(**DOCUMENTATION)
class AnchorTransition(ProbaTransition):
    """Transition estimator from anchors, rows that almost surely belong to a class.

    Anchors of a class are the rows with the highest probability among those predicted to be of
    it. The shares of given labels among them are the row of the class in the transition matrix.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(estimator)s
    anchor_share : float, default=0.5
        Share of the rows predicted to be of a class that are its anchors, in (0, 1], the most
        confident first; at least 30 rows if there are as many. A small share raises the variance,
        a large one counts rows that are hard to predict as errors.
    statistic : {"labels", "proba"}, default="labels"
        What is averaged over the anchors:

        - "labels": their given labels. No label has a part in the probabilities that made its own
          row an anchor.
        - "proba": their probabilities, by the median, as if these were the true ones of given
          labels. This is the published method, with many anchors instead of a single one.
    %(noise_rate)s
    %(cv)s
    %(n_bootstrap)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(transition_matrix_)s
    %(interval)s
    %(class_prior)s
    %(rate_attributes)s
    %(classes_)s
    %(features_in)s

    See Also
    --------
    ConfidentTransition : Counts all rows that are confidently of some class.
    DualTransition : Counts the labels of all rows predicted to be of a class.

    Notes
    -----
    A single anchor per class, the row with the highest probability of it, is an outlier by
    construction: hence many anchors, and medians.

    The rows of the matrix are shrunk towards symmetric noise of the mean rate, by the amount that
    the counts of all classes support. A class with few anchors, or none because it is never
    predicted, thus gets about the noise of the others.

    Where classes overlap, some anchors are of another class, and the counted noise is somewhat
    too high. The bootstrap intervals do not include that error.

    Verified rows are no anchors. Where anchors are counted by their labels, the classifier is
    trained on the verified labels.
    %(verified_note)s

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise: a
    loss correction approach. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import AnchorTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> estimator = AnchorTransition(random_state=0).fit(X, y_noisy)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.03)
    True
    """

    _parameter_constraints: dict = {
        **ProbaTransition._parameter_constraints,
        "anchor_share": [Interval(Real, 0, 1, closed="right")],
        "statistic": [StrOptions({"labels", "proba"})],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        anchor_share: float = 0.5,
        statistic: str = "labels",
        noise_rate: str = "extrapolated",
        cv: CrossValidation = 5,
        n_bootstrap: int = 0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.anchor_share = anchor_share
        self.statistic = statistic
        self.noise_rate = noise_rate
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    @property
    def _trains_on_verified(self) -> bool:
        return self.statistic == "labels"

    def _count(self, rows: PredictedRows) -> TransitionEstimate:
        anchors = find_anchors(rows, self.anchor_share)
        if self.statistic == "labels":
            counts = count_labels(anchors, rows.scored, rows.n_classes, rows.weight)
        else:
            counts = median_proba(anchors, rows.pred_proba, rows.weight)
            counts *= class_weights(anchors, rows.n_classes, rows.weight)[:, None]
        return TransitionEstimate(rows.shrink(counts, [symmetric_prior(counts)]))


def find_anchors(rows: PredictedRows, anchor_share: float) -> np.ndarray:
    """Return the class of which each unverified row is an anchor, -1 for all others."""
    codes, weight = rows.scored, rows.weight
    # Rows of weight 0, as in a bootstrap sample, cannot be anchors.
    codes = codes if weight is None else np.where(weight > 0, codes, -1)
    return confident_rows(codes, rows.pred_proba, weight, confident_share=anchor_share)


def median_proba(
    anchors: np.ndarray, pred_proba: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the normalised median probabilities of the anchors of each class, 0 without any."""
    n_classes = pred_proba.shape[1]
    medians = np.zeros((n_classes, n_classes))
    for k in np.unique(anchors[anchors >= 0]):
        rows = np.flatnonzero(anchors == k)
        own = np.ones(len(rows)) if weight is None else weight[rows]
        medians[k] = weighted_median(pred_proba[rows].astype(np.float64, copy=False), own)
        # With many classes, all medians may be zero.
        if not medians[k].any():
            medians[k] = np.average(pred_proba[rows], axis=0, weights=own)
        medians[k] /= medians[k].sum()
    return medians
