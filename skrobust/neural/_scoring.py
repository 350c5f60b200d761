"""What scorers of callbacks see of a net: predictions, and targets as the user gave them."""

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import check_scoring
from skorch.callbacks.scoring import ScoringBase
from skorch.utils import to_numpy

from skrobust.neural._rows import Rows, make_rows


class Scorable:
    """Predictions of a net for rows of any form, also by what a callback has cached."""

    def get_dataset(self, X, y=None):
        """Make rows of what a callback predicts for: rows, a batch, an array or a tensor."""
        if isinstance(X, Rows):
            return X
        X = X["X"] if isinstance(X, dict) else X
        device, dtype = torch.device(self.device), self.floating_point()
        if isinstance(X, torch.Tensor):
            return Rows(X.to(device), None, None, None, dtype, device)
        X = X if hasattr(X, "dtype") else np.asarray(X)
        return make_rows(X, None, None, dtype=dtype, device=device)

    def floating_point(self) -> torch.dtype:
        """Look up the precision that the network computes in."""
        kinds = (p.dtype for p in self.module_.parameters() if p.is_floating_point())
        return next(kinds, torch.float32)

    def outputs(self, X) -> torch.Tensor:
        """Compute the outputs of the network, float64, on the CPU."""
        return torch.cat([part.to("cpu", torch.float64) for part in self.forward_iter(X)])


class ScoredAsClassifier(ClassifierMixin, Scorable):
    """A net that scorers take for a classifier of the labels that the user gave."""

    @property
    def classes_(self) -> np.ndarray:
        """Labels, sorted."""
        return self.option("classes")

    def predict_proba(self, X) -> np.ndarray:
        """Predict probabilities of the classes."""
        return torch.softmax(self.outputs(X), dim=1).numpy()

    def predict(self, X) -> np.ndarray:
        """Predict labels."""
        return self.classes_[self.outputs(X).argmax(dim=1).numpy()]

    def decode(self, target: np.ndarray) -> np.ndarray:
        """Turn codes, or probabilities, into labels."""
        return self.classes_[target if target.ndim == 1 else target.argmax(axis=1)]


class ScoredAsRegressor(RegressorMixin, Scorable):
    """A net that scorers take for a regressor of the targets that the user gave."""

    def predict(self, X) -> np.ndarray:
        """Predict targets."""
        return self.decode(self.outputs(X).numpy())

    def decode(self, target: np.ndarray) -> np.ndarray:
        """Undo the standardisation of targets."""
        center, scale = self.option("target_scaling")
        return target * scale + center


class DecodedScorer:
    """A scorer that is given the user's labels or targets in the place of the network's.

    Parameters
    ----------
    scoring : str, callable or None
        As of :class:`skorch.callbacks.EpochScoring`.
    """

    def __init__(self, scoring):
        self.scoring = scoring

    def __call__(self, net, X, y=None):
        """Score a net on rows, or on one batch."""
        if y is None and isinstance(X, Rows):
            y = to_numpy(X.y if X.positions is None else X.y[X.positions])
        y = None if y is None else net.decode(y)
        return check_scoring(net, self.scoring)(net, X, y)


def decode_scorers(callbacks) -> None:
    """Let the scoring callbacks among initialised ones see the user's labels or targets."""
    for callback in callbacks:
        # A function of the user's that turns targets into something else has the last word.
        if isinstance(callback, ScoringBase) and callback.target_extractor is to_numpy:
            callback.scoring_ = DecodedScorer(callback.scoring_)


def restore_scorers(callbacks) -> None:
    """Undo :func:`decode_scorers`."""
    for callback in callbacks:
        if isinstance(getattr(callback, "scoring_", None), DecodedScorer):
            callback.scoring_ = callback.scoring_.scoring
