"""Which detector judges the labels where the user names none."""

from sklearn.base import clone

from skrobust.detection import EnsembleDetector
from skrobust.detection._companions import COMPANIONS, has_preprocessing
from skrobust.utils._rows import is_plain_numeric


def default_detector(X, estimator) -> EnsembleDetector:
    """Make the detector that suits the input.

    Parameters
    ----------
    X : array-like of length n_samples
        Input.
    estimator : classifier
        What is to be trained in the end, and can look at X.

    Returns
    -------
    detector : EnsembleDetector
        Not fitted. Where X is a table of numbers, none of them infinite, with models of its own,
        and otherwise with `estimator` and, if that is a pipeline, diverse models behind its first
        steps.
    """
    if is_plain_numeric(X):
        return EnsembleDetector()
    together = [COMPANIONS] if has_preprocessing(estimator) else []
    return EnsembleDetector([clone(estimator), *together])
