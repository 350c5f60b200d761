"""Handwritten digits of which a hundred labels were verified by annotators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skrobust.datasets._common import check_bool, import_pandas, read_npz, read_text


def load_mnist_errors(
    *, return_X_y: bool = False, as_frame: bool = False
) -> Bunch | tuple[Any, Any]:
    """Load 5000 test digits of MNIST, 15 of them with a label that annotators found to be wrong.

    The rows are the 100 images of the MNIST test set that five workers each reviewed, and 4900
    others drawn at random from those not reviewed. The labels given are the published ones.

    ==================   ================
    Classes                            10
    Samples total                    5000
    Samples checked                   100
    Errors among these                 15
    Dimensionality              784 (28²)
    Features               real, 0 to 255
    ==================   ================

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a `Bunch`.

    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame with one column per pixel, `target` and
        `verified_target` are pandas Series, and `frame` holds `data` and `target` together.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        data : ndarray of shape (5000, 784) or DataFrame, float64
            Pixel values from 0 to 255, row by row of the image.
        images : ndarray of shape (5000, 28, 28), uint8
            The images themselves.
        target : ndarray of shape (5000,) or Series, int64
            The labels as given, some of them wrong.
        verified_target : ndarray of shape (5000,) or Series, float64
            The labels as verified by annotators, NaN where not reviewed. Pass it to `fit` as
            ``verified_labels``.
        is_error : ndarray of shape (5000,), int8
            1 where the given label was found wrong, 0 where it was found right, -1 where
            not reviewed. Unchecked does not mean right.
        review_outcome : ndarray of shape (5000,), str
            "non_error", "correctable", "non_agreement", "neither", or "unchecked".
        votes : ndarray of shape (5000, 4), int8
            How many workers (five, for some rows nine or ten) chose each of `vote_names`; -1 where
            not reviewed.
        vote_names : list of str
            "given", "guessed", "both", "neither": the given label, a label guessed by a model,
            both of them, or none of the two.
        index : ndarray of shape (5000,), int64
            Row of each image in the test set of MNIST, ascending.
        target_names : list of str
            Names of the classes.
        feature_names : list of str
            Names of the columns of `data`.
        frame : DataFrame
            Only if ``as_frame=True``: `data` and `target`.
        DESCR : str
            Where the data come from and what they mean.

    (data, target) : tuple if ``return_X_y`` is True
        The pixels and the given labels.

    See Also
    --------
    load_youtube_spam : Comments labelled by rules.

    Notes
    -----
    .. versionadded:: 0.1

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998). Gradient-based learning applied to document
    recognition. Proceedings of the IEEE.

    Northcutt, Athalye and Mueller (2021). Pervasive label errors in test sets destabilize machine
    learning benchmarks. NeurIPS datasets and benchmarks.

    Examples
    --------
    >>> from skrobust.datasets import load_mnist_errors
    >>> digits = load_mnist_errors()
    >>> digits.data.shape
    (5000, 784)
    >>> wrong = digits.is_error == 1
    >>> int(wrong.sum())
    15
    >>> digits.target[wrong][:3], digits.verified_target[wrong][:3]
    (array([8, 0, 9]), array([9., 6., 4.]))
    """
    check_bool("return_X_y", return_X_y)
    check_bool("as_frame", as_frame)
    arrays = read_npz("mnist_errors.npz")

    images = arrays["images"]
    data = images.reshape(len(images), -1).astype(np.float64)
    target = arrays["target"].astype(np.int64)
    verified_target = arrays["verified"].astype(np.float64)
    verified_target[verified_target < 0] = np.nan
    feature_names = [f"pixel_{row}_{column}" for row in range(28) for column in range(28)]

    frame = None
    if as_frame:
        pandas = import_pandas()
        data = pandas.DataFrame(data, columns=feature_names)
        target = pandas.Series(target, name="target")
        verified_target = pandas.Series(verified_target, name="verified_target")
        frame = pandas.concat([data, target], axis=1)
    if return_X_y:
        return data, target

    bunch = Bunch(
        data=data,
        images=images,
        target=target,
        verified_target=verified_target,
        is_error=arrays["is_error"],
        review_outcome=arrays["verdict_names"][arrays["verdict"]],
        votes=arrays["votes"],
        vote_names=arrays["vote_names"].tolist(),
        index=arrays["index"].astype(np.int64),
        target_names=[str(digit) for digit in range(10)],
        feature_names=feature_names,
        DESCR=read_text("mnist_errors.md"),
    )
    if as_frame:
        bunch.frame = frame
    return bunch
