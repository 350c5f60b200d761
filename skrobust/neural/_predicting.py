"""What a fitted net says of new rows."""

import torch
from sklearn.utils.validation import check_is_fitted

from skrobust.neural._device import explain_out_of_memory
from skrobust.neural._rows import Rows, make_rows

DTYPES = {"float32": torch.float32, "float64": torch.float64}
"""Precisions, by what `dtype` calls them."""


class PredictsByNet:
    """Predictions of an estimator that has a net, and validates X by `_check_input`."""

    @property
    def module_(self) -> torch.nn.Module:
        """The trained network."""
        check_is_fitted(self, "net_")
        return self.net_.module_

    def _rows_to_predict(self, X) -> Rows:
        check_is_fitted(self)
        X = self._check_input(X, reset=False)
        device = torch.device(self.net_.device)
        dtype = next(
            (p.dtype for p in self.net_.module_.parameters() if p.is_floating_point()),
            DTYPES[self.dtype],
        )
        return make_rows(X, None, None, dtype=dtype, device=device)

    def _outputs(self, X) -> torch.Tensor:
        """Outputs of the network, shape (n_samples, n_outputs), float64, on the CPU."""
        rows = self._rows_to_predict(X)
        with explain_out_of_memory("The memory of the device ran out while predicting."):
            return self.net_.predict_logits(rows, lambda x: self._forward(self.net_.module_, x))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")


class PredictsProba:
    """Predictions of a classifier that has a net."""

    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Rows.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels.
        """
        logits = self._outputs(X)
        return self.classes_[logits.argmax(dim=1).numpy()]

    def predict_proba(self, X):
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return torch.softmax(self._outputs(X), dim=1).numpy()

    def predict_log_proba(self, X):
        """Predict logarithms of probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        return torch.log_softmax(self._outputs(X), dim=1).numpy()
