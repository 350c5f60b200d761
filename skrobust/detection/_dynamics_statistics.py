"""What a training run says about each label: statistics that are added up stage by stage.

Nothing here grows with the number of stages: besides a few numbers per row, only the last and the
summed probabilities are kept.
"""

import copy

import numpy as np

from skrobust.evidence._staged import align_columns

STATISTICS = ("aum", "el2n", "grand", "forgetting", "mean_loss", "oscillation")
_FLOOR = 1e-12


class DynamicsWatcher:
    """Adds up statistics of labelled rows while a model is trained.

    Parameters
    ----------
    X : array-like of length n_samples
        The rows to look at.
    codes : ndarray of shape (n_samples,)
        Their given labels, as positions in `classes`; -1 where missing.
    classes : ndarray of shape (n_classes,)
        Labels.
    in_sample : bool
        Whether these are the very rows that the model is trained on, in the same order.
    wants_norms : bool
        Whether the length of the features of the last layer is wanted.
    """

    def __init__(self, X, codes, classes, *, in_sample=False, wants_norms=False):
        self.X, self.in_sample, self.wants_norms = X, in_sample, wants_norms
        self._classes, self._codes = classes, np.maximum(codes, 0)
        self._rows = np.arange(len(codes))
        self._state: dict = {"n_stages": 0}

    def with_X(self, X) -> "DynamicsWatcher":
        """Return this watcher for transformed rows; both add to the same sums."""
        other = copy.copy(self)
        other.X = X
        return other

    def add(self, pred_proba, classes, *, norms=None) -> None:
        """Add one stage.

        Parameters
        ----------
        pred_proba : ndarray of shape (n_samples, n_model_classes)
            Probabilities of the rows after this stage.
        classes : ndarray of shape (n_model_classes,)
            Labels of its columns.
        norms : ndarray of shape (n_samples,), default=None
            Length of the features of the last layer, its bias included.
        """
        proba = np.asarray(pred_proba)
        if proba.shape != (len(self._rows), len(classes)):
            raise ValueError(
                f"A stage must have probabilities of shape {(len(self._rows), len(classes))},"
                f" got {proba.shape}."
            )
        proba = align_columns(proba, classes, self._classes, "estimator").astype(np.float64)
        if not np.isfinite(proba).all():
            raise ValueError("A stage of the training predicted NaN or infinite probabilities.")
        # With rows along the last axis, sums and maxima over few classes are fast.
        proba = np.ascontiguousarray(proba.T)
        at = (self._codes, self._rows)
        logs = np.log(np.maximum(proba, _FLOOR))
        own = proba[at]
        proba[at] = -1.0
        other = proba.max(axis=0)
        proba[at] = own - 1
        distance = np.sqrt((proba * proba).sum(axis=0))
        proba[at] = own
        state = self._state
        if not state["n_stages"]:
            names = ("margin", "el2n", "loss", "grand", "mean", "squares", "moved", "forgotten")
            state.update({name: np.zeros(len(own)) for name in names})
            state.update(ever=np.zeros(len(own), dtype=bool), proba=np.zeros_like(proba))
        else:
            # The divergence of this stage from the last one.
            state["moved"] += (proba * (logs - state["last"])).sum(axis=0)
            state["forgotten"] += state["correct"] & (own < other)
        state["last"] = logs
        state["correct"] = own >= other
        state["ever"] |= state["correct"]
        state["margin"] += own - other
        state["el2n"] += distance
        state["loss"] -= logs[at]
        state["proba"] += proba
        if norms is not None:
            state["grand"] += norms * distance
            state["norms"] = state.get("norms", 0.0) + norms
        state["n_stages"] += 1
        gap = own - state["mean"]
        state["mean"] += gap / state["n_stages"]
        state["squares"] += gap * (own - state["mean"])

    def take(self, statistics: dict) -> None:
        """Take statistics that a model recorded itself while it was trained.

        Parameters
        ----------
        statistics : dict of str to ndarray
            As :meth:`result` returns them, of the training rows; at least "mean_proba" of shape
            (n_samples, n_classes) and those of the statistic that is wanted.
        """
        self._state["taken"] = dict(statistics)

    def result(self) -> dict:
        """Return the statistics.

        Returns
        -------
        statistics : dict of str to ndarray
            Of shape (n_samples,): "aum", "el2n", "forgetting", "mean_loss", "oscillation",
            "confidence", "variability", and with norms "grand" and "norms"; and "mean_proba" of
            shape (n_samples, n_classes).
        """
        state = self._state
        if "taken" in state:
            return state["taken"]
        n_stages = state["n_stages"]
        if not n_stages:
            raise ValueError("The training went through no stage, so that there is none to see.")
        statistics = {
            "aum": state["margin"] / n_stages,
            "el2n": state["el2n"] / n_stages,
            "forgetting": np.where(state["ever"], state["forgotten"], np.inf),
            "mean_loss": state["loss"] / n_stages,
            "oscillation": np.maximum(state["moved"], 0) / max(n_stages - 1, 1),
            "confidence": state["mean"],
            "variability": np.sqrt(state["squares"] / n_stages),
            "mean_proba": state["proba"].T / n_stages,
        }
        if "norms" in state:
            statistics["grand"] = state["grand"] / n_stages
            statistics["norms"] = state["norms"] / n_stages
        return statistics


def quality_from(statistic: str, values: np.ndarray, scale=1.0, confidence=1.0) -> np.ndarray:
    """Turn a statistic into the quality of labels, by a fixed and monotone map.

    Parameters
    ----------
    statistic : str
        One of `STATISTICS`.
    values : ndarray of shape (n_samples,)
        Its values.
    scale : float
        The typical length of features, for "grand".
    confidence : ndarray of shape (n_samples,)
        Mean probability of the labels, which tells apart rows that are forgotten equally often.

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        In [0, 1], 1 for a label that is surely right.
    """
    if statistic == "aum":
        quality = (values + 1) / 2
    elif statistic == "el2n":
        quality = 1 - values / np.sqrt(2)
    elif statistic == "grand":
        quality = 1 / (1 + values / scale)
    elif statistic == "forgetting":
        quality = 1 / (2 + values - confidence)
    else:
        quality = np.exp(-values)
    return np.clip(quality, 0.0, 1.0)
