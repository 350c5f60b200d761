"""Predictions of models from other libraries, in the shape that scikit-learn's models give them."""

import numpy as np


def predict_column(estimator, X) -> np.ndarray:
    """Predict labels or numbers as an array of shape (n_samples,)."""
    values = estimator.predict(X)
    shape = getattr(values, "shape", ())
    return np.asarray(values)[:, 0] if len(shape) == 2 and shape[1] == 1 else values
