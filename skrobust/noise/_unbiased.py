"""Unbiased estimates of true labels, by the inverse of the transition matrix."""

import numpy as np
from numpy.typing import ArrayLike

from skrobust.noise._flip import DOCUMENTATION, match_labels
from skrobust.noise._resolve import check_usable
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import validate_params
from skrobust.utils._typing import LabelsLike


@validate_params({"indicator": [None, "boolean"]}, prefer_skip_nested_validation=True)
@fill_docstring(**DOCUMENTATION)
def unbiased_labels(
    y: LabelsLike,
    transition: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    indicator: bool | None = None,
) -> np.ndarray:
    """Return unbiased label estimates by backward correction of noisy labels.

    Each label is replaced by its row of the inverse of the transition matrix. For any true class,
    the mean over given labels is 1 for that class and 0 for the others. A least-squares regression
    on these targets thus estimates that on true labels, as does any loss that is linear in its
    target.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels, some of them wrong. Missing ones become NaN.
    %(transition)s
    %(classes)s
    indicator : bool, default=None
        Whether there is a column for each class. None is True for more than two classes. With
        two, there is one number for each row, which stands for the second class.

    Returns
    -------
    targets : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Targets, also outside [0, 1]: clipping them would bring back the bias. Columns sum to 1 in
        each row.

    Raises
    ------
    ValueError
        If `transition` is not a square matrix of probabilities whose rows sum to 1, does not
        match the classes, or cannot be inverted: it is singular, or labels stand for other
        classes than their own. With two classes, the two error rates must sum to less than 1.

    See Also
    --------
    flip_labels : Draws wrong labels by a transition matrix.
    NeighborTransition : Estimates the matrix.

    Notes
    -----
    With error rates ``r0`` of the first and ``r1`` of the second of two classes, the target is
    ``(s - r0) / (1 - r0 - r1)``, where ``s`` is 1 for the second class and 0 for the first.

    The variance of the targets grows as the inverse square of ``1 - r0 - r1``.

    For two classes the correction is an affine map, which standardising the targets would revert.

    References
    ----------
    Natarajan, Dhillon, Ravikumar and Tewari (2013). Learning with noisy labels. Advances in
    Neural Information Processing Systems 26.

    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise:
    a loss correction approach. CVPR.

    Examples
    --------
    >>> from skrobust.noise import unbiased_labels
    >>> transition = [[0.9, 0.1], [0.3, 0.7]]
    >>> unbiased_labels(["ham", "spam", "spam"], transition).round(2)
    array([-0.17,  1.5 ,  1.5 ])
    >>> unbiased_labels(["ham", "spam"], transition, indicator=True).round(2)
    array([[ 1.17, -0.17],
           [-0.5 ,  1.5 ]])
    """
    _, missing, codes, classes, transition = match_labels(y, transition, classes)
    check_usable(transition, classes, "invertible")
    inverse = np.linalg.inv(transition)
    if indicator is None:
        indicator = len(classes) > 2
    elif not indicator and len(classes) != 2:
        raise ValueError(f"indicator=False requires two classes, y has {len(classes)}.")
    targets = inverse[codes] if indicator else inverse[codes, 1]
    targets[missing] = np.nan
    return targets
