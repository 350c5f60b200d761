"""Weights, optimiser state and history of a fitted net in files of their own."""

from sklearn.utils.validation import check_is_fitted

from skrobust.neural._table import EpochTable


class SavesParams:
    """An estimator whose net saves and loads parts of its state, as skorch does."""

    def save_params(
        self,
        f_params=None,
        f_optimizer=None,
        f_criterion=None,
        f_history=None,
        use_safetensors=False,
    ) -> None:
        """Save weights and more to files that skorch and torch read.

        Parameters
        ----------
        f_params : str, path or file, default=None
            Where to save the weights of the network.
        f_optimizer : str, path or file, default=None
            Where to save the state of the optimiser.
        f_criterion : str, path or file, default=None
            Where to save the state of the loss.
        f_history : str, path or file, default=None
            Where to save the history, as JSON.
        use_safetensors : bool, default=False
            Whether to write weights in the format of safetensors, which holds nothing else.
        """
        check_is_fitted(self, "net_")
        self.net_.save_params(
            f_params=f_params,
            f_optimizer=f_optimizer,
            f_criterion=f_criterion,
            f_history=f_history,
            use_safetensors=use_safetensors,
        )

    def load_params(
        self,
        f_params=None,
        f_optimizer=None,
        f_criterion=None,
        f_history=None,
        use_safetensors=False,
    ) -> None:
        """Load what was saved into a fitted estimator whose network has the same layers.

        Parameters
        ----------
        f_params : str, path or file, default=None
            Weights of the network.
        f_optimizer : str, path or file, default=None
            State of the optimiser.
        f_criterion : str, path or file, default=None
            State of the loss.
        f_history : str, path or file, default=None
            History, as JSON.
        use_safetensors : bool, default=False
            Whether weights are in the format of safetensors.
        """
        message = (
            "This %(name)s has no network yet to load weights into: fit it first, for instance for"
            " one epoch, or pickle the whole estimator instead of its weights."
        )
        check_is_fitted(self, "net_", msg=message)
        self.net_.load_params(
            f_params=f_params,
            f_optimizer=f_optimizer,
            f_criterion=f_criterion,
            f_history=f_history,
            use_safetensors=use_safetensors,
        )
        history = self.net_.history
        self.n_iter_, self.history_ = len(history), EpochTable.of(history)
