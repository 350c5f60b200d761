"""Transition estimator by two factors: true to predicted class, predicted class to given label."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from skrobust.noise._anchor_transition import find_anchors, median_proba
from skrobust.noise._noise_model import count_labels, predicted_classes, sharpen, symmetric_prior
from skrobust.noise._proba_transition import (
    DOCUMENTATION,
    PredictedRows,
    ProbaTransition,
    TransitionEstimate,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval
from skrobust.utils._typing import CrossValidation


@fill_docstring(**DOCUMENTATION)
class DualTransition(ProbaTransition):
    """Dual-T transition estimator, the product of two transition matrices.

    The predicted class of a row is an intermediate between its true class and its given label.
    The first factor, true to predicted class, is estimated from the probabilities of anchors; the
    second, predicted class to given label, is counted over all rows. The counts require accurate
    predictions of the class only, not accurate probabilities.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(estimator)s
    anchor_share : float, default=0.1
        Share of the rows predicted to be of a class that are its anchors, in (0, 1], the most
        confident first; at least 30 rows if there are as many.
    sharpness : float, default=8.0
        Exponent of the probabilities of the predicted class, which are normalised afterwards,
        above 0. 1 is the published method, meant for networks whose probabilities are near 0 and
        1. Probabilities that match the given labels contain all of the noise already, which the
        counts would add a second time. From about 20 on, only the most probable class matters.
    %(noise_rate)s
    %(cv)s
    %(n_bootstrap)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(transition_matrix_)s
    intermediate_transition_ : ndarray of shape (n_classes, n_classes)
        First factor: probability of each predicted class (columns) for each true class (rows).
    label_transition_ : ndarray of shape (n_classes, n_classes)
        Second factor: probability of each given label (columns) for each predicted class (rows).
    %(interval)s
    %(class_prior)s
    %(rate_attributes)s
    %(classes_)s
    %(features_in)s

    See Also
    --------
    AnchorTransition : Counts labels where the classifier is most confident only.

    Notes
    -----
    Rows that are predicted to be of a wrong class count as errors of the label, so that the
    counted noise is too high where classes overlap: the transition matrix is the product of both
    factors only with ``noise_rate="counted"``.

    The rows of the second factor are shrunk towards symmetric noise of the mean rate, by the
    amount that the counts of all classes support. A class that is never predicted is taken for
    its own intermediate class, and thus gets about the noise of the others.

    Verified rows take no part in either factor, and the classifier is trained on their given
    labels.
    %(verified_note)s

    References
    ----------
    Yao, Liu, Han, Gong, Deng, Niu and Sugiyama (2020). Dual T: reducing estimation error for
    transition matrix in label-noise learning. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import DualTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> estimator = DualTransition(random_state=0).fit(X, y_noisy)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.03)
    True
    """

    _trains_on_verified = False

    _parameter_constraints: dict = {
        **ProbaTransition._parameter_constraints,
        "anchor_share": [Interval(Real, 0, 1, closed="right")],
        "sharpness": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        anchor_share: float = 0.1,
        sharpness: float = 8.0,
        noise_rate: str = "extrapolated",
        cv: CrossValidation = 5,
        n_bootstrap: int = 0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.anchor_share = anchor_share
        self.sharpness = sharpness
        self.noise_rate = noise_rate
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _count(self, rows: PredictedRows) -> TransitionEstimate:
        anchors = find_anchors(rows, self.anchor_share)
        some = np.flatnonzero(anchors >= 0)
        intermediate = np.eye(rows.n_classes)
        if len(some):
            sharp = sharpen(rows.pred_proba[some], self.sharpness)
            weight = None if rows.weight is None else rows.weight[some]
            medians = median_proba(anchors[some], sharp, weight)
            found = medians.any(axis=1)
            intermediate[found] = medians[found]
        predicted, _ = predicted_classes(rows.scored, rows.pred_proba)
        counts = count_labels(predicted, rows.scored, rows.n_classes, rows.weight)
        labels = rows.shrink(counts, [symmetric_prior(counts)])
        factors = {"intermediate_transition_": intermediate, "label_transition_": labels}
        return TransitionEstimate(intermediate @ labels, attributes=factors)
