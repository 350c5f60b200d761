"""Targets whose expectation, over the noise of labels, is the true label."""

import numpy as np

from skrobust.noise._flip import match_labels
from skrobust.noise._resolve import check_usable
from skrobust.utils._sklearn import validate_params


@validate_params({"indicator": [None, "boolean"]}, prefer_skip_nested_validation=True)
def unbiased_labels(y, transition, *, classes=None, indicator=None) -> np.ndarray:
    """Turn noisy labels into numbers that equal the true ones on average.

    Each label is replaced by its row of the inverse of the transition matrix. Whatever the true
    class of a row is, the mean of that over the labels it may have been given is 1 for the true
    class and 0 for the others. So a least-squares regression on these numbers estimates what one
    on the true labels would, as does any loss that is linear in its target.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels, some of them wrong. Missing ones become NaN.
    transition : array-like of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    classes : array-like of shape (n_classes,), default=None
        The labels that rows and columns of `transition` stand for. None is the sorted distinct
        labels of `y`; or, if `y` holds whole numbers from 0 to ``n_classes - 1`` only, these.
    indicator : bool, default=None
        Whether there is a column for each class. None is True for more than two classes. With
        two, there is one number for each row, which stands for the second class.

    Returns
    -------
    targets : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Numbers outside [0, 1] are right: cutting them off would bring the bias back. Columns sum
        to 1 in each row.

    Raises
    ------
    ValueError
        If `transition` is not a square matrix of probabilities whose rows sum to 1, does not
        match the classes, or is too noisy to be undone: it is singular, or labels stand for
        other classes than their own. With two classes, the two error rates must sum to less
        than 1.

    See Also
    --------
    flip_labels : Makes labels wrong by a transition matrix.
    NeighborTransition : Estimates the matrix.

    Notes
    -----
    With error rates ``r0`` of the first and ``r1`` of the second of two classes, the target is
    ``(s - r0) / (1 - r0 - r1)``, where ``s`` is 1 for the second class and 0 for the first.

    Being unbiased is paid for by variance, which grows as the inverse square of
    ``1 - r0 - r1``.

    Standardising the targets afterwards undoes the correction for two classes, which is an affine
    map: scale first, if at all.

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
        raise ValueError(
            f"indicator=False is for two classes, of which one number tells: y has {len(classes)}."
        )
    targets = inverse[codes] if indicator else inverse[codes, 1]
    targets[missing] = np.nan
    return targets
