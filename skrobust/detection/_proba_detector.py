"""Detectors that look at class probabilities: how they get them, what they have in common."""

import numpy as np

from skrobust.base import LabelErrorDetector
from skrobust.detection._verified_label_model import calibrate_on_verified
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._out_of_fold import predict_columns
from skrobust.evidence._proba_source import ProbaSource
from skrobust.utils._blocks import for_each_block


class ProbaDetector(ProbaSource, LabelErrorDetector):
    """Base class of detectors that look at the probabilities of one classifier.

    The constructor of a subclass has the parameters `estimator`, `cv`, `store_estimators`,
    `n_jobs` and `random_state`, and ``_detect(data)`` begins with ``self._gather(data)``.
    """

    _calibrate = staticmethod(calibrate_on_verified)

    _parameter_constraints: dict = {
        **LabelErrorDetector._parameter_constraints,
        **ProbaSource._parameter_constraints,
        "store_estimators": ["boolean"],
    }

    def _gather(self, data) -> Evidence:
        """Gather the evidence: one fit of a forest, or one fit per fold."""
        return self._keep_models(self._gather_evidence(data))

    def _keep_models(self, evidence: Evidence) -> Evidence:
        vars(self).pop("estimators_", None)
        if self.store_estimators:
            self.estimators_ = evidence.estimators
        return evidence

    def _predict_mean(self, X, classes=None) -> np.ndarray:
        """Predict the probabilities of new rows by the models that were kept."""
        classes = self.classes_ if classes is None else classes
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                "The models that judge new rows were not kept: fit with store_estimators=True."
            )
        models = self.estimators_
        return sum(predict_columns(model, X, classes) for model in models) / len(models)


def most_probable(pred_proba, order=None, *, without=None) -> np.ndarray:
    """Find the most probable class of each row.

    Parameters
    ----------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities, or anything else of which the largest is wanted.
    order : ndarray of shape (n_classes,), default=None
        The order of classes in which the first of equal ones is taken, so that it need not
        depend on their names.
    without : ndarray of shape (n_samples,), default=None
        A class that is left out in each row; -1 leaves out none.

    Returns
    -------
    best : ndarray of shape (n_samples,), dtype intp
        Classes.
    """
    n_classes = pred_proba.shape[1]
    order = np.arange(n_classes) if order is None else order
    best = np.empty(len(pred_proba), dtype=np.intp)
    place = np.empty(n_classes, dtype=np.intp)
    place[order] = np.arange(n_classes)

    def find(start: int, stop: int) -> None:
        block = pred_proba[start:stop, order]
        if without is not None:
            rows = np.flatnonzero(without[start:stop] >= 0)
            block[rows, place[without[start:stop][rows]]] = -np.inf
        best[start:stop] = order[block.argmax(axis=1)]

    for_each_block(find, len(pred_proba), 8 * n_classes)
    return best
