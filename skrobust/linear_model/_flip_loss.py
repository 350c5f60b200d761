"""The loss of a linear model of labels that flip in one class only, with its gradient."""

import numpy as np
from scipy.special import expit, log_expit

from skrobust.linear_model._channel_loss import linear_scores, weighted_rows


class FlipLoss:
    """Penalised mean negative log-likelihood of given labels of two classes.

    Whether a row is of the class whose labels flip, and if so, whether its label does, are two
    logistic regressions. Called with a vector of parameters, it returns the loss and the
    gradient.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Rows, all of which count.
    given : ndarray of shape (n_samples,), dtype intp
        1 where the given label is the class whose labels flip, 0 where it is the other one, -1
        where there is none.
    verified : ndarray of shape (n_samples,), dtype intp
        The same for true classes, -1 where they are not known.
    weight : ndarray of shape (n_samples,) or None
        Weights.
    penalty, flip_penalty : float
        Halves of these, divided by the sum of weights, multiply the sums of squared coefficients
        of the two scores.
    fit_intercept : bool
        Whether the first score has an intercept; the second always has. Neither is penalised.
    log_odds : float, default=None
        The second score where it is known and constant; may be -inf. None: it is learned.
    prior : tuple of float, default=(0.0, 0.0)
        Of a second score that is learned: mass of rows of the class, as if seen in the origin,
        of which the label was kept, and of which it flipped.
    """

    def __init__(
        self,
        X,
        given,
        verified,
        weight,
        *,
        penalty,
        flip_penalty,
        fit_intercept,
        log_odds=None,
        prior=(0.0, 0.0),
    ):
        self.X = X
        self.X_transposed = X.T
        self.fit_intercept = fit_intercept
        self.log_odds = log_odds
        total = len(given) if weight is None else weight.sum()
        self.scale = 1 / total
        self.weight = np.full(len(given), self.scale) if weight is None else weight * self.scale
        self.penalty = penalty * self.scale
        self.flip_penalty = flip_penalty * self.scale
        self.prior = self.scale * np.asarray(prior)
        # The solver sees coefficients of flips in a unit in which a strong penalty on them is no
        # steeper than a logistic regression can be, or it would creep along.
        self.flip_unit = 1 / np.sqrt(1 + 4 * self.flip_penalty)
        # No label flips to the class whose labels flip: who is given that label belongs to it.
        known = np.where(verified >= 0, verified, np.where(given == 1, 1, -1))
        self.unknown = np.flatnonzero(known < 0)
        self.posterior = np.maximum(known, 0).astype(np.float64)
        self.member_weight = self.weight * (known == 1)
        self.kept_weight = self.member_weight * (given == 1)
        self.flipped_weight = self.member_weight * (given == 0)

    @property
    def learns_flips(self) -> bool:
        """Whether the second score is learned."""
        return self.log_odds is None

    def split(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take a vector of parameters apart.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            What the solver sees.

        Returns
        -------
        coef : ndarray of shape (n_scores, n_features)
            Coefficients of one score, or two.
        intercept : ndarray of shape (n_scores,)
            Intercepts.
        """
        n_scores, n_features = 1 + self.learns_flips, self.X.shape[1]
        coef = parameters[: n_scores * n_features].reshape(n_scores, n_features)
        coef = coef * self._units(n_scores)
        intercept = parameters[n_scores * n_features :]
        return coef, intercept if self.fit_intercept else np.concatenate([[0.0], intercept])

    def join(self, coef, intercept) -> np.ndarray:
        """Make the vector of parameters.

        Parameters
        ----------
        coef : ndarray of shape (n_scores, n_features)
            Coefficients.
        intercept : ndarray of shape (n_scores,)
            Intercepts.

        Returns
        -------
        parameters : ndarray of shape (n_parameters,)
            For this function and for :meth:`split`.
        """
        return self._vector(coef / self._units(len(coef)), intercept)

    def _vector(self, coef, intercept) -> np.ndarray:
        return np.concatenate([coef.ravel(), intercept if self.fit_intercept else intercept[1:]])

    def _units(self, n_scores) -> np.ndarray:
        return np.array([[1.0], [self.flip_unit]])[:n_scores]

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the loss and its gradient."""
        coef, intercept = self.split(parameters)
        scores = linear_scores(self.X, coef, intercept)
        unknown, weight = self.unknown, self.weight
        member, _, log_stranger = _sigmoid(scores[0])
        if self.learns_flips:
            flip, log_flip, log_keep = _sigmoid(scores[1])
            doubt = scores[0, unknown] + log_flip[unknown]
        else:
            doubt = scores[0, unknown] + log_expit(self.log_odds)
        # How likely it is that a row which was given the other label belongs to the class after
        # all; here, too, the last logarithm is the one of that it does not.
        doubted, _, log_settled = _sigmoid(doubt)
        posterior = self.posterior
        posterior[unknown] = doubted
        loss = weight[unknown] @ log_settled - weight @ log_stranger
        loss -= self.member_weight @ scores[0]
        loss += self.penalty / 2 * coef[0] @ coef[0]
        slopes = np.empty_like(scores)
        np.multiply(member - posterior, weight, out=slopes[0])
        if self.learns_flips:
            kept, flipped = self.prior
            loss -= self.kept_weight @ log_keep + self.flipped_weight @ log_flip
            loss -= kept * log_expit(-intercept[1]) + flipped * log_expit(intercept[1])
            loss += self.flip_penalty / 2 * coef[1] @ coef[1]
            flipped_mass = self.flipped_weight.copy()
            flipped_mass[unknown] = doubted * weight[unknown]
            np.multiply(self.kept_weight + flipped_mass, flip, out=slopes[1])
            slopes[1] -= flipped_mass
        gradient = weighted_rows(self.X_transposed, slopes)
        gradient += np.array([self.penalty, self.flip_penalty])[: len(coef), None] * coef
        totals = slopes.sum(axis=1)
        if self.learns_flips:
            totals[1] += (kept + flipped) * expit(intercept[1]) - flipped
        return float(loss), self._vector(gradient * self._units(len(coef)), totals)


def _sigmoid(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sigmoid of scores, its logarithm, and the logarithm of one minus it, by one exponential.

    SciPy's functions for these are several times slower than NumPy's exponential.
    """
    small = np.exp(-np.abs(scores))
    log_total = np.log1p(small)
    value = np.where(scores >= 0, 1.0, small)
    value /= 1 + small
    return value, np.minimum(scores, 0) - log_total, -np.maximum(scores, 0) - log_total
