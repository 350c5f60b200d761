"""The loss of a linear model whose labels went through a channel, with its gradient."""

import numpy as np
from scipy import sparse
from scipy.special import softmax, xlogy

from skrobust.utils._blocks import for_each_block

# Below this the sum of a row is computed again from logarithms; far above the smallest number, so
# that what underflowed cannot have mattered.
_SMALLEST_LIKELIHOOD = 1e-200


class ChannelLoss:
    """Penalised mean negative log-likelihood of given labels.

    True classes follow a softmax of linear scores, and given labels follow the row of the
    transition matrix that belongs to the true class. With two classes only the second has a
    score; the first stands at zero. Called with a vector of parameters, it returns the loss and
    the gradient. One call passes over X twice and needs memory for one more matrix of shape
    (n_classes, n_samples).

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Rows, all of which count.
    given : ndarray of shape (n_samples,), dtype intp
        Given labels; not looked at where there is a verified one.
    verified : ndarray of shape (n_samples,), dtype intp
        True classes as far as they are known; -1 elsewhere.
    weight : ndarray of shape (n_samples,) or None
        Weights.
    n_classes : int
        Number of classes.
    penalty : float
        Half of this, divided by the sum of weights, multiplies the sum of squared coefficients.
    fit_intercept : bool
        Whether scores have intercepts, which are not penalised.
    transition : ndarray of shape (n_classes, n_classes), default=None
        The transition matrix. None: it is learned as well, its rows as softmax of parameters.
    prior : ndarray of shape (n_classes, n_classes), default=None
        Of a transition that is learned: mass of rows by true class and given label that are added
        to those in the data.
    """

    def __init__(
        self,
        X,
        given,
        verified,
        weight,
        n_classes,
        *,
        penalty,
        fit_intercept,
        transition=None,
        prior=None,
    ):
        self.X = X
        self.X_transposed = X.T
        self.n_classes = n_classes
        self.fit_intercept = fit_intercept
        self.transition = transition
        self.prior = prior
        if prior is not None:
            # Taken off, so that a strong prior does not hide the rest of the loss from the solver.
            mean = prior / np.maximum(prior.sum(axis=1, keepdims=True), 1e-300)
            self.prior_loss = -xlogy(prior, mean).sum()
        # A verified row is one whose label went through a channel that changes nothing.
        self.column = np.where(verified >= 0, n_classes + verified, given)
        total = len(given) if weight is None else weight.sum()
        self.scale = 1 / total
        self.weight = np.full(len(given), self.scale) if weight is None else weight * self.scale
        self.penalty = penalty * self.scale
        self.scores = np.zeros((n_classes, X.shape[0]))

    @property
    def n_scores(self) -> int:
        """Number of linear scores."""
        return 1 if self.n_classes == 2 else self.n_classes

    def split(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Take a vector of parameters apart.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            What the solver sees.

        Returns
        -------
        coef : ndarray of shape (n_scores, n_features)
            Coefficients.
        intercept : ndarray of shape (n_scores,)
            Intercepts, zero if there are none.
        logits : ndarray of shape (n_classes, n_classes) or None
            Logarithms, up to a constant per row, of a transition that is learned.
        """
        n_scores, n_features = self.n_scores, self.X.shape[1]
        end = n_scores * n_features
        coef = parameters[:end].reshape(n_scores, n_features)
        intercept = np.zeros(n_scores)
        if self.fit_intercept:
            intercept = parameters[end : end + n_scores]
            end += n_scores
        if self.transition is not None:
            return coef, intercept, None
        return coef, intercept, parameters[end:].reshape(self.n_classes, self.n_classes)

    def join(self, coef, intercept, transition=None) -> np.ndarray:
        """Make the vector of parameters.

        Parameters
        ----------
        coef : ndarray of shape (n_scores, n_features)
            Coefficients.
        intercept : ndarray of shape (n_scores,)
            Intercepts.
        transition : ndarray of shape (n_classes, n_classes), default=None
            The transition matrix, if it is to be learned; all entries positive.

        Returns
        -------
        parameters : ndarray of shape (n_parameters,)
            For this function and for :meth:`split`.
        """
        parts = [np.ravel(coef)]
        if self.fit_intercept:
            parts.append(np.ravel(intercept))
        if self.transition is None:
            parts.append(np.log(transition).ravel())
        return np.concatenate(parts)

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the loss and its gradient."""
        coef, intercept, logits = self.split(parameters)
        transition = self.transition if logits is None else softmax(logits, axis=1)
        linear_scores(self.X, coef, intercept, out=self.scores[-self.n_scores :])
        if self.n_classes == 2:
            self.scores[0] = 0.0
        channel = np.hstack([transition, np.eye(self.n_classes)])
        counts = None if logits is None else np.zeros((self.n_classes, channel.shape[1]))
        loss = self._pass(channel, counts) + self.penalty / 2 * np.vdot(coef, coef)
        slopes = self.scores[-self.n_scores :]  # what _pass leaves there
        parts = [(weighted_rows(self.X_transposed, slopes) + self.penalty * coef).ravel()]
        if self.fit_intercept:
            parts.append(slopes.sum(axis=1))
        if logits is not None:
            joint = counts[:, : self.n_classes] + self.scale * self.prior
            loss -= self.scale * (xlogy(self.prior, transition).sum() + self.prior_loss)
            parts.append((transition * joint.sum(axis=1, keepdims=True) - joint).ravel())
        return loss, np.concatenate(parts)

    def _pass(self, channel, counts) -> float:
        """Sum up the loss, and replace scores by the derivatives with respect to them.

        Parameters
        ----------
        channel : ndarray of shape (n_classes, 2 * n_classes)
            Probability of each label (columns), given or verified, for each true class (rows).
        counts : ndarray of shape (n_classes, 2 * n_classes) or None
            Increased by the expected mass of rows by true class and label.

        Returns
        -------
        loss : float
            Without the penalty.
        """
        losses = np.empty(len(self.column))
        with np.errstate(divide="ignore"):
            log_channel = np.log(channel)

        def step(start: int, stop: int) -> None:
            scores = self.scores[:, start:stop]
            own, weight = self.column[start:stop], self.weight[start:stop]
            scores -= scores.max(axis=0)
            proba = np.exp(scores)
            total = proba.sum(axis=0)
            joint = channel[:, own]
            joint *= proba
            likelihood = joint.sum(axis=0)
            # Where the true class would have to be one whose share is next to nothing.
            rare = np.flatnonzero(likelihood < _SMALLEST_LIKELIHOOD)
            top = np.zeros(stop - start)
            if len(rare):
                logs = scores[:, rare] + log_channel[:, own[rare]]
                top[rare] = logs.max(axis=0)
                joint[:, rare] = np.exp(logs - top[rare])
                likelihood[rare] = joint[:, rare].sum(axis=0)
            losses[start:stop] = np.log(total) - np.log(likelihood) - top
            proba /= total
            joint /= likelihood
            if counts is not None:
                for k, row in enumerate(joint):
                    counts[k] += np.bincount(own, row * weight, minlength=channel.shape[1])
            np.subtract(proba, joint, out=scores)
            scores *= weight

        for_each_block(step, len(losses), 32 * self.n_classes)
        return float(self.weight @ losses)

    def true_proba(self, coef, intercept) -> np.ndarray:
        """Compute the probabilities of true classes of the rows.

        Parameters
        ----------
        coef : ndarray of shape (n_scores, n_features)
            Coefficients.
        intercept : ndarray of shape (n_scores,)
            Intercepts.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows sum to 1.
        """
        scores = linear_scores(self.X, coef, intercept)
        return softmax(with_first_class(scores), axis=0).T

    def mean(self, values) -> float:
        """Average values of rows by their weights."""
        return float(self.weight @ values)


def linear_scores(X, coef, intercept, *, out=None) -> np.ndarray:
    """Compute linear scores, in the precision of X.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Rows.
    coef : ndarray of shape (n_scores, n_features)
        Coefficients.
    intercept : ndarray of shape (n_scores,)
        Intercepts.
    out : ndarray of shape (n_scores, n_samples), default=None
        Where to put them.

    Returns
    -------
    scores : ndarray of shape (n_scores, n_samples), dtype float64
        One row per score: sums over classes are then sums of long rows.
    """
    coef = coef.astype(X.dtype, copy=False)
    if out is None:
        out = np.empty((len(coef), X.shape[0]))
    if sparse.issparse(X):
        out[:] = (X @ coef.T).T
    elif X.dtype == out.dtype:
        np.dot(coef, X.T, out=out)
    else:
        out[:] = coef @ X.T
    out += np.asarray(intercept)[:, None]
    return out


def weighted_rows(X_transposed, slopes) -> np.ndarray:
    """Sum up the rows of X, in the precision of X, once for each row of weights.

    Parameters
    ----------
    X_transposed : {ndarray, CSC matrix} of shape (n_features, n_samples)
        Columns are rows of X.
    slopes : ndarray of shape (n_scores, n_samples)
        Weights.

    Returns
    -------
    sums : ndarray of shape (n_scores, n_features), dtype float64
        The sums.
    """
    slopes = slopes.astype(X_transposed.dtype, copy=False)
    if sparse.issparse(X_transposed):
        return np.asarray((X_transposed @ slopes.T).T, dtype=np.float64)
    return (slopes @ X_transposed.T).astype(np.float64, copy=False)


def with_first_class(scores: np.ndarray) -> np.ndarray:
    """Add the score of the first of two classes, which is zero, where there is one score only.

    Parameters
    ----------
    scores : ndarray of shape (n_scores, n_samples)
        Scores.

    Returns
    -------
    scores : ndarray of shape (n_classes, n_samples)
        Scores of all classes.
    """
    return np.vstack([np.zeros_like(scores), scores]) if len(scores) == 1 else scores
