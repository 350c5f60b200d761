"""The shape in which evidence is handed on."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Probabilities of rows by models that did not learn from them, and those models."""

    pred_proba: np.ndarray
    estimators: list
    classes: np.ndarray
