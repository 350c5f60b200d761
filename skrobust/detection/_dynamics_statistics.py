"""What a training run says about each label: statistics that are added up stage by stage.

Nothing here grows with the number of stages: besides a few numbers per row, only the last and the
summed probabilities are kept.
"""

import copy

import numpy as np
from scipy.special import expit

from skrobust.evidence._staged import align_columns
from skrobust.utils._blocks import for_each_block

STATISTICS = ("aum", "aum_logits", "el2n", "grand", "forgetting", "mean_loss", "oscillation")
_FLOOR = 1e-12
# Average precision of boosting with 31 leaves on four tables, 20 % symmetric and 30 % pair noise:
# all 60 stages .898 and .752; the first 15 .893 and .794; until .75, .5 or .35 of the early errors
# are left .912 and .802, .912 and .795, .912 and .789. Boosting that learns more slowly loses up
# to .02 with .75, and .001 with .5.
_MEMORISED = 0.5


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
    n_early : int, default=None
        The area under the margin of so many stages, the first ones, is "early_aum".
    trained : ndarray of shape (n_trained,), default=None
        Positions of rows that the model is trained on. After the early stages, no stage is added
        once the model predicts half as many of their labels wrongly as had a negative early area:
        by then it has memorised most of the labels that it contradicted.
    """

    def __init__(
        self,
        X,
        codes,
        classes,
        *,
        in_sample=False,
        wants_norms=False,
        n_early: int | None = None,
        trained: np.ndarray | None = None,
    ):
        self.n_early, self.trained = n_early, trained
        self.X, self.in_sample, self.wants_norms = X, in_sample, wants_norms
        self._classes, self._codes = classes, np.maximum(codes, 0)
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
        if proba.shape != (len(self._codes), len(classes)):
            raise ValueError(
                f"A stage must have probabilities of shape {(len(self._codes), len(classes))},"
                f" got {proba.shape}."
            )
        if self._state.get("memorised"):
            return
        proba = align_columns(proba, classes, self._classes, "estimator")
        n_classes, n_rows = len(self._classes), len(self._codes)
        state = self._state
        if not state["n_stages"]:
            names = (
                "margin",
                "logits",
                "el2n",
                "loss",
                "grand",
                "mean",
                "squares",
                "moved",
                "forgotten",
            )
            state.update({name: np.zeros(n_rows) for name in names})
            state.update({name: np.zeros(n_rows, dtype=bool) for name in ("correct", "ever")})
            state.update({name: np.zeros((n_classes, n_rows)) for name in ("proba", "last")})
        if state["n_stages"] == self.n_early:
            state["early"] = state["margin"] / self.n_early
        state["n_stages"] += 1
        if norms is not None:
            state["norms"] = state.get("norms", 0.0) + norms

        def add(start: int, stop: int) -> None:
            rows = slice(start, stop)
            self._add_block(proba[rows], rows, None if norms is None else norms[rows])

        # About five arrays of the size of a block are in use at a time.
        for_each_block(add, n_rows, 5 * 8 * n_classes)
        if self.trained is not None and "early" in state:
            n_wrong = np.count_nonzero(~state["correct"][self.trained])
            n_early = np.count_nonzero(state["early"][self.trained] < 0)
            state["memorised"] = n_wrong < _MEMORISED * n_early

    def _add_block(self, block, rows, norms) -> None:
        """Add one stage of some rows."""
        # With rows along the last axis, sums and maxima over few classes are fast.
        proba = np.array(block.T, dtype=np.float64, order="C")
        if not np.isfinite(proba).all():
            raise ValueError("A stage of the training predicted NaN or infinite probabilities.")
        state = self._state
        n_stages = state["n_stages"]
        n_rows = proba.shape[1]
        at = self._codes[rows] * n_rows + np.arange(n_rows)
        flat = proba.reshape(-1)
        logs = np.maximum(proba, _FLOOR)
        np.log(logs, out=logs)
        last = state["last"][:, rows]
        if n_stages > 1:
            # The divergence of this stage from the last one.
            np.subtract(logs, last, out=last)
            state["moved"][rows] += np.einsum("kn,kn->n", proba, last)
        last[...] = logs
        own_log = logs.reshape(-1).take(at)
        state["loss"][rows] -= own_log
        # Logarithms of probabilities differ by as much as the logits of a softmax do.
        logs.reshape(-1)[at] = -np.inf
        state["logits"][rows] += own_log - logs.max(axis=0)
        state["proba"][:, rows] += proba
        own = flat.take(at)
        flat[at] = -1.0
        other = proba.max(axis=0)
        flat[at] = own - 1
        distance = np.sqrt(np.einsum("kn,kn->n", proba, proba))
        state["el2n"][rows] += distance
        if norms is not None:
            state["grand"][rows] += norms * distance
        correct = state["correct"][rows]
        state["forgotten"][rows] += correct & (own < other)
        np.greater_equal(own, other, out=correct)
        state["ever"][rows] |= correct
        state["margin"][rows] += own - other
        gap = own - state["mean"][rows]
        state["mean"][rows] += gap / n_stages
        state["squares"][rows] += gap * (own - state["mean"][rows])

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
            Of shape (n_samples,): "aum", "aum_logits", "el2n", "forgetting", "mean_loss",
            "oscillation", "confidence", "variability", with norms "grand" and "norms", and
            "early_aum" and "n_stages" if they are wanted; and "mean_proba" of shape
            (n_samples, n_classes).
        """
        state = self._state
        if "taken" in state:
            return state["taken"]
        n_stages = state["n_stages"]
        if not n_stages:
            raise ValueError("The training went through no stage, so that there is none to see.")
        statistics = {
            "aum": state["margin"] / n_stages,
            "aum_logits": state["logits"] / n_stages,
            "el2n": state["el2n"] / n_stages,
            "forgetting": np.where(state["ever"], state["forgotten"], np.inf),
            "mean_loss": state["loss"] / n_stages,
            "oscillation": np.maximum(state["moved"], 0) / max(n_stages - 1, 1),
            "confidence": state["mean"],
            "variability": np.sqrt(state["squares"] / n_stages),
            "mean_proba": state["proba"].T / n_stages,
        }
        if self.n_early is not None:
            statistics["early_aum"] = state.get("early", statistics["aum"])
        if self.trained is not None:
            statistics["n_stages"] = np.full(len(self._codes), float(n_stages))
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
    elif statistic == "aum_logits":
        quality = expit(values)
    elif statistic == "el2n":
        quality = 1 - values / np.sqrt(2)
    elif statistic == "grand":
        quality = 1 / (1 + values / scale)
    elif statistic == "forgetting":
        quality = 1 / (2 + values - confidence)
    else:
        quality = np.exp(-values)
    return np.clip(quality, 0.0, 1.0)
