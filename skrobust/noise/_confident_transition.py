"""Transition estimator from the confident joint."""

import numpy as np

from skrobust.noise._confident_joint import calibrate_joint, count_confident
from skrobust.noise._proba_transition import (
    DOCUMENTATION,
    PredictedRows,
    ProbaTransition,
    TransitionEstimate,
)
from skrobust.utils._docstring import fill_docstring


@fill_docstring(**DOCUMENTATION)
class ConfidentTransition(ProbaTransition):
    """Transition estimator from the confident joint.

    A row whose out-of-sample probability reaches the mean self-confidence of a class is counted
    for that class (see :func:`confident_joint`). The counts of each given label are scaled to the
    number of rows that have it, transposed, and normalised by true class.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(estimator)s
    %(noise_rate)s
    %(cv)s
    %(n_bootstrap)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(transition_matrix_)s
    %(interval)s
    %(class_prior_)s
    %(rate_attributes)s
    %(classes_)s
    %(features_in)s

    See Also
    --------
    confident_joint : The counts, from given probabilities.
    AnchorTransition : Counts labels where the classifier is most confident only.
    skrobust.detection.ConfidentLearning : Flags wrong labels by the same counts.

    Notes
    -----
    Rows of :func:`confident_joint` are given labels, and those of ``transition_matrix_`` true
    classes: the one is the transpose of the other, scaled so that each true class sums to 1.

    Rows between classes are counted as well, and often as errors, so that the counted noise is
    too high where classes overlap: by default, the counts determine only which labels are
    confused.

    Verified rows are not counted by their predictions. The classifier is trained on their
    verified labels.
    %(verified_note)s

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import ConfidentTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> estimator = ConfidentTransition(random_state=0).fit(X, y_noisy)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.03)
    True
    """

    def _count(self, rows: PredictedRows) -> TransitionEstimate:
        counted = count_confident(rows.scored, rows.pred_proba, rows.weight, n_jobs=self.n_jobs)
        joint = counted.joint
        if counted.totals.any():
            # As floats, the totals leave the joint unrounded.
            joint = calibrate_joint(joint, counted.totals.astype(np.float64))
        # A class without counts has no wrong labels.
        joint = np.where(np.eye(len(joint)), np.maximum(joint, 1e-12), joint).T
        prior = joint.sum(axis=1)
        return TransitionEstimate(joint / prior[:, None], prior / prior.sum())
