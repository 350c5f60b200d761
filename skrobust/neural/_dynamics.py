"""What a training says about each of its rows, added up on the device while it goes on."""

import numpy as np
import torch

from skrobust.neural._callbacks import Internal

_FLOOR = 1e-12


class DynamicsRecorder(Internal):
    """Adds up, epoch by epoch, what the network says of each row when it is trained on it.

    The statistics are those of :class:`~skrobust.detection.TrainingDynamics`. They cost no
    prediction: the logits of the training step are used. Nothing grows with the number of epochs.

    Parameters
    ----------
    n_samples : int
        Number of rows, also of those that are not trained on.
    n_classes : int
        Number of classes.
    """

    def __init__(self, n_samples, n_classes):
        self.n_samples = n_samples
        self.n_classes = n_classes
        self._state = None

    def _start(self, device) -> None:
        n, k = self.n_samples, self.n_classes
        sums = ("seen", "margin", "logits", "el2n", "loss", "mean", "squares", "moved", "forgotten")
        self._state = {name: torch.zeros(n, device=device, dtype=torch.float32) for name in sums}
        for name in ("correct", "ever"):
            self._state[name] = torch.zeros(n, device=device, dtype=torch.bool)
        for name in ("proba", "last"):
            self._state[name] = torch.zeros(n, k, device=device, dtype=torch.float32)

    @torch.no_grad()
    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        """Add a batch."""
        if not training:
            return
        x, y = batch
        if self._state is None:
            self._start(y_pred.device)
        rows, state = x["index"], self._state
        codes = y if y.ndim == 1 else y.argmax(dim=1)
        logs = y_pred.float().log_softmax(dim=1)
        proba = logs.exp()
        own = proba.gather(1, codes[:, None])[:, 0]
        other = proba.scatter(1, codes[:, None], -1.0).max(dim=1).values
        # The distance from the label: 1 - 2p + the sum of squares.
        distance = (proba.square().sum(dim=1) - 2 * own + 1).clamp_min(0).sqrt()
        logs = logs.clamp_min(float(np.log(_FLOOR)))
        seen = state["seen"][rows] + 1
        moved = (proba * (logs - state["last"][rows])).sum(dim=1)
        gap = own - state["mean"][rows]
        mean = state["mean"][rows] + gap / seen
        was_correct = state["correct"][rows]
        correct = own >= other
        state["seen"][rows] = seen
        state["margin"][rows] += own - other
        best_log = logs.scatter(1, codes[:, None], -torch.inf).max(dim=1).values
        state["logits"][rows] += logs.gather(1, codes[:, None])[:, 0] - best_log
        state["el2n"][rows] += distance
        state["loss"][rows] -= logs.gather(1, codes[:, None])[:, 0]
        state["moved"][rows] += torch.where(seen > 1, moved, torch.zeros_like(moved))
        state["mean"][rows] = mean
        state["squares"][rows] += gap * (own - mean)
        state["forgotten"][rows] += (was_correct & ~correct).float()
        state["correct"][rows] = correct
        state["ever"][rows] |= correct
        state["proba"][rows] += proba
        state["last"][rows] = logs

    def result(self) -> dict:
        """Return the statistics of each row; NaN for rows that were not trained on.

        Returns
        -------
        statistics : dict of str to ndarray
            "aum", "aum_logits", "el2n", "forgetting", "mean_loss", "oscillation", "confidence" and
            "variability" of shape (n_samples,), and "mean_proba" of shape (n_samples, n_classes).
        """
        if self._state is None:
            return {}
        state = {name: value.cpu().numpy() for name, value in self._state.items()}
        seen = np.where(state["seen"] > 0, state["seen"], np.nan).astype(np.float64)
        ever = state["ever"]
        forgotten = np.where(np.isnan(seen), np.nan, np.where(ever, state["forgotten"], np.inf))
        return {
            "aum": state["margin"] / seen,
            "aum_logits": state["logits"] / seen,
            "el2n": state["el2n"] / seen,
            "forgetting": forgotten,
            "mean_loss": state["loss"] / seen,
            "oscillation": np.maximum(state["moved"], 0) / np.maximum(seen - 1, 1),
            "confidence": np.where(np.isnan(seen), np.nan, state["mean"]),
            "variability": np.sqrt(np.maximum(state["squares"], 0) / seen),
            "mean_proba": state["proba"] / seen[:, None],
        }
