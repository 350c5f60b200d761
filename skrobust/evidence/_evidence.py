"""The shape in which evidence is handed on."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Probabilities of rows by models that did not learn from them, and those models.

    Attributes
    ----------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Rows of NaN could not be judged.
    estimators : list of fitted classifiers
        The models; the mean of their predictions judges new rows.
    classes : ndarray of shape (n_classes,)
        Label of each column.
    """

    pred_proba: np.ndarray
    estimators: list
    classes: np.ndarray
