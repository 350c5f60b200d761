"""Predictions of models from other libraries, in the shape that scikit-learn's models give them."""

import numpy as np


def predict_column(estimator, X) -> np.ndarray:
    """Predict labels or numbers as an array of shape (n_samples,).

    Some libraries return a column of shape (n_samples, 1), whose comparison with labels of shape
    (n_samples,) would silently become a square matrix.

    Parameters
    ----------
    estimator : fitted estimator
        Any model with ``predict``.
    X : array-like of length n_samples
        Input.

    Returns
    -------
    y_pred : array-like of shape (n_samples,)
        Predictions; anything but one column is returned as it is.
    """
    values = estimator.predict(X)
    shape = getattr(values, "shape", ())
    return np.asarray(values)[:, 0] if len(shape) == 2 and shape[1] == 1 else values
