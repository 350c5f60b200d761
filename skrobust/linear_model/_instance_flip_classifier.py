"""Logistic regression of two classes with flips of one class that depend on the row."""

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, logit

from skrobust.base._labels import encode_labels_like
from skrobust.linear_model._linear_base import (
    DOCUMENTATION,
    NoisyLinearClassifier,
    linear_scores,
    weighted_sums,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, Tags, fit_context
from skrobust.utils._typing import LabelsLike, MatrixLike

# Flip rates of the starts: the problem is not convex.
_START_RATES = (0.05, 0.2, 0.5)
# Flip rate of the prior.
_PRIOR_FLIP_RATE = 0.2
# A lower flip rate to start from would hardly change.
_LEAST_START = 1e-4


@fill_docstring(**DOCUMENTATION)
class InstanceFlipClassifier(NoisyLinearClassifier):
    """Logistic regression of two classes, the labels of one of which flip depending on the row.

    Two scores are linear in the features: the log-odds that a row belongs to the class whose
    labels flip, and the log-odds that, if so, its label does. Given labels of that class are
    always right. Predictions are of true classes.

    .. versionadded:: 0.1

    Parameters
    ----------
    flipped_class : label, default=None
        True class whose labels flip to the other one. None is ``classes_[1]``: missed positives,
        as in positive and unlabelled data.
    fixed_flip_rate : float, default=None
        Share of the labels of that class that flip, if it is known and the same for all rows, in
        [0, 1). None: it is learned, and may differ between rows. 0 makes this
        :class:`~sklearn.linear_model.LogisticRegression`.
    C : float, default=1.0
        Inverse of the strength of the L2 penalty on coefficients of the true class, above 0, as of
        :class:`~sklearn.linear_model.LogisticRegression`; ``np.inf`` is none. Intercepts are not
        penalised.
    flip_C : float, default=0.003
        The same for coefficients of the flip rate. It must be small, see Notes; the smaller, the
        more similar are the flip rates of all rows.
    prior_strength : float, default=30.0
        Weight of the prior of the flip rate, in rows of the class that are zero in all features,
        one in five of which was given the other label, at least 0.
    %(solver)s
    warm_start : bool, default=False
        Whether ``fit`` starts from the coefficients of the last fit only.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features)
        Coefficients of the log-odds that a row is of the class ``classes_[1]``.
    intercept_ : ndarray of shape (1,)
        Intercept of the same.
    flip_coef_ : ndarray of shape (1, n_features)
        Coefficients of the log-odds that a label flips; zero if `fixed_flip_rate` is given.
    flip_intercept_ : ndarray of shape (1,)
        Intercept of the same; -inf for no flips at all.
    flipped_class_ : label
        Class whose labels flip.
    flip_rate_ : float
        Share of the rows of that class that were given the other label, according to the model.
    noise_rate_ : float
        Share of the given labels that are wrong, according to the model.
    n_iter_ : int
        Number of iterations of the solver, from the start with the lowest loss.
    classes_ : ndarray of shape (2,)
        Class labels, sorted.
    %(features_in)s

    See Also
    --------
    NoisyLogisticRegression : For noise that depends on the classes only, of any number.

    Notes
    -----
    With the sigmoid :math:`\\sigma`, a row of scores :math:`r` and :math:`\\gamma` is given the
    label of the class with probability :math:`\\sigma(r)(1 - \\sigma(\\gamma))`. This is the model
    of Yu and Qin, with scores that are linear in the features. Positive and unlabelled data are
    the limiting case: give the unlabelled rows the label of the other class.

    **Identifiability.** Labels only determine the product of two probabilities. A row that is
    never given the label of the class may not be of it, or be of it and always flip: without a
    penalty, flips could explain every row of the other label. The two are separated by the
    logistic form of each, by flip rates that vary little between rows (`flip_C`), and by the prior
    (`prior_strength`). Where the true class is not a logistic function of the features, the
    misfit is taken for flips. The flip rate is thus uncertain, unless it is given by
    `fixed_flip_rate`, or some rows are verified, which should not have been chosen because their
    labels look wrong. Penalties and prior depend on the scales of features, and on their origin:
    standardise them.

    References
    ----------
    Yu and Qin (2020). Sampler design for implicit feedback data by noisy-label robust learning.
    SIGIR.

    Bekker and Davis (2020). Learning from positive and unlabeled data: a survey. Machine Learning
    109.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.linear_model import InstanceFlipClassifier
    >>> X, y = make_classification(2000, class_sep=1.5, flip_y=0, random_state=0)
    >>> rng = np.random.default_rng(0)
    >>> y_noisy = np.where(rng.random(2000) < 0.5, 0, y)
    >>> robust = InstanceFlipClassifier().fit(X, y_noisy)
    >>> robust.score(X, y) > LogisticRegression().fit(X, y_noisy).score(X, y) + 0.05
    True
    >>> 0.35 < robust.flip_rate_ < 0.65
    True
    """

    _parameter_constraints: dict = {
        **NoisyLinearClassifier._parameter_constraints,
        "flipped_class": "no_validation",
        "fixed_flip_rate": [None, Interval(Real, 0, 1, closed="left")],
        "flip_C": [Interval(Real, 0, None, closed="right")],
        "prior_strength": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        flipped_class: object = None,
        fixed_flip_rate: float | None = None,
        C: float = 1.0,
        flip_C: float = 0.003,
        prior_strength: float = 30.0,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 1000,
        warm_start: bool = False,
    ) -> None:
        self.flipped_class = flipped_class
        self.fixed_flip_rate = fixed_flip_rate
        self.C = C
        self.flip_C = flip_C
        self.prior_strength = prior_strength
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: MatrixLike,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the coefficients of both scores to given labels of two classes.

        Parameters
        ----------
        %(X_matrix)s
        %(y_used)s
        %(verified_labels)s
        %(sample_weight)s

        Returns
        -------
        %(returns_self)s
        """
        X, data = self._check_data(X, y, verified_labels, sample_weight)
        if len(data.classes) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass:"
                f" y has {len(data.classes)} classes."
            )
        flipping = self._flipping(data.classes)
        continued = self._check_warm_start(X, data)
        X, given, verified, weight = self._used_rows(X, data)
        log_odds = None if self.fixed_flip_rate is None else float(logit(self.fixed_flip_rate))
        kept = self.prior_strength * (1 - _PRIOR_FLIP_RATE)
        loss = FlipLoss(
            X,
            _indicate(given, flipping),
            _indicate(verified, flipping),
            weight,
            penalty=1 / self.C,
            flip_penalty=1 / self.flip_C,
            fit_intercept=self.fit_intercept,
            log_odds=log_odds,
            prior=(kept, self.prior_strength - kept),
        )
        # The loss has the scores of the class whose labels flip, coef_ those of the second one.
        sign = 1.0 if flipping == 1 else -1.0
        learned = log_odds is None
        starts = self._starts(X.shape[1], sign, continued, learned=learned)
        results = [self._minimize(loss, loss.join(*start)) for start in starts]
        result = min(results, key=lambda result: result.fun)
        coef, intercept = loss.split(result.x)
        self.classes_: np.ndarray = data.classes
        self.flipped_class_: Any = data.classes[flipping]
        self.coef_: np.ndarray = sign * coef[:1]
        self.intercept_: np.ndarray = sign * intercept[:1]
        self.flip_coef_: np.ndarray = coef[1:].copy() if learned else np.zeros_like(coef)
        self.flip_intercept_: np.ndarray = intercept[1:].copy() if learned else np.array([log_odds])
        member = expit(linear_scores(X, coef[:1], intercept[:1])[0])
        flipped = member * expit(linear_scores(X, self.flip_coef_, self.flip_intercept_)[0])
        self.noise_rate_: float = float(np.average(flipped, weights=weight))
        self.flip_rate_: float = self.noise_rate_ / float(np.average(member, weights=weight))
        self._set_n_iter(result)
        return self

    def _flipping(self, classes: np.ndarray) -> int:
        """Return the position of the class whose labels flip."""
        if self.flipped_class is None:
            return 1
        code = int(encode_labels_like([self.flipped_class], classes, name="flipped_class")[0])
        if code < 0:
            raise ValueError(
                f"flipped_class must be one of the labels {classes.tolist()} or None, got"
                f" {self.flipped_class!r}."
            )
        return code

    def _starts(
        self, n_features: int, sign: float, continued: bool, *, learned: bool
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the coefficients and intercepts that the solver starts from."""
        if continued:
            coef = np.vstack([sign * self.coef_, self.flip_coef_])
            intercept = np.concatenate([sign * self.intercept_, self.flip_intercept_])
            if learned:
                intercept[1] = max(intercept[1], logit(_LEAST_START))
            starts = [(coef, intercept)]
        else:
            origin = np.zeros((2, n_features))
            starts = [(origin, np.array([0.0, logit(rate)])) for rate in _START_RATES]
        return starts if learned else [(coef[:1], intercept[:1]) for coef, intercept in starts[:1]]

    def flip_proba(self, X: MatrixLike) -> np.ndarray:
        """Predict probabilities that labels flip.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        proba : ndarray of shape (n_samples,)
            Probability that each row would be given the label of the other class, if its true
            class is ``flipped_class_``.
        """
        X = self._check_new(X)
        return expit(linear_scores(X, self.flip_coef_, self.flip_intercept_)[0])

    def predict_given_proba(self, X: MatrixLike) -> np.ndarray:
        """Predict probabilities of given labels, to score new rows with the same noise.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        proba : ndarray of shape (n_samples, 2)
            Probabilities, columns in the order of ``classes_``.
        """
        proba, flips = self.predict_proba(X), self.flip_proba(X)
        flipping = int(np.flatnonzero(self.classes_ == self.flipped_class_)[0])
        moved = proba[:, flipping] * flips
        proba[:, flipping] -= moved
        proba[:, 1 - flipping] += moved
        return proba


def _indicate(codes: np.ndarray, flipping: int) -> np.ndarray:
    """Return 1 for the class whose labels flip, 0 for the other one, -1 for missing labels."""
    return np.where(codes < 0, -1, (codes == flipping).astype(np.intp))


class FlipLoss:
    """Penalised mean negative log likelihood of given labels of two classes.

    Whether a row is of the class whose labels flip, and if so, whether its label does, are two
    logistic regressions. Called with a vector of parameters, it returns the loss and the gradient.

    `given` and `verified` are 1 for the class whose labels flip, 0 for the other one, -1 where
    missing. Halves of `penalty` and `flip_penalty`, divided by the sum of weights, multiply the
    sums of squared coefficients of the two scores. `log_odds` is the second score where it is
    known and constant; it may be -inf. Otherwise `prior` are the weights of rows of the class in
    the origin whose label was kept, and flipped.
    """

    def __init__(
        self,
        X: Any,
        given: np.ndarray,
        verified: np.ndarray,
        weight: np.ndarray | None,
        *,
        penalty: float,
        flip_penalty: float,
        fit_intercept: bool,
        log_odds: float | None = None,
        prior: tuple[float, float] = (0.0, 0.0),
    ) -> None:
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
        # The unit of the coefficients of flips bounds the curvature of a strong penalty by that of
        # a logistic regression; otherwise, L-BFGS would converge slowly.
        self.flip_unit = 1 / np.sqrt(1 + 4 * self.flip_penalty)
        # No label flips to this class: rows that are given it belong to it.
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
        """Split a vector of parameters into coefficients and intercepts of one score, or two."""
        n_scores, n_features = 1 + self.learns_flips, self.X.shape[1]
        coef = parameters[: n_scores * n_features].reshape(n_scores, n_features)
        coef = coef * self._units(n_scores)
        intercept = parameters[n_scores * n_features :]
        return coef, intercept if self.fit_intercept else np.concatenate([[0.0], intercept])

    def join(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Join coefficients and intercepts to a vector of parameters."""
        return self._vector(coef / self._units(len(coef)), intercept)

    def _vector(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Concatenate coefficients and the intercepts that are fitted."""
        return np.concatenate([coef.ravel(), intercept if self.fit_intercept else intercept[1:]])

    def _units(self, n_scores: int) -> np.ndarray:
        """Return the unit of the coefficients of each score."""
        return np.array([[1.0], [self.flip_unit]])[:n_scores]

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the loss and its gradient."""
        coef, intercept = self.split(parameters)
        scores = linear_scores(self.X, coef, intercept)
        unknown, weight = self.unknown, self.weight
        member, _, log_other = _sigmoid(scores[0])
        if self.learns_flips:
            flip, log_flip, log_keep = _sigmoid(scores[1])
            log_odds = scores[0, unknown] + log_flip[unknown]
        else:
            log_odds = scores[0, unknown] + log_expit(self.log_odds)
        # Posterior probability that a row with the other label belongs to the class.
        flipped_proba, _, log_kept = _sigmoid(log_odds)
        posterior = self.posterior
        posterior[unknown] = flipped_proba
        loss = weight[unknown] @ log_kept - weight @ log_other
        loss -= self.member_weight @ scores[0]
        loss += self.penalty / 2 * coef[0] @ coef[0]
        slopes = np.empty_like(scores)
        np.multiply(member - posterior, weight, out=slopes[0])
        if self.learns_flips:
            kept, flipped = self.prior
            loss -= self.kept_weight @ log_keep + self.flipped_weight @ log_flip
            loss -= kept * log_expit(-intercept[1]) + flipped * log_expit(intercept[1])
            loss += self.flip_penalty / 2 * coef[1] @ coef[1]
            flipped_weight = self.flipped_weight.copy()
            flipped_weight[unknown] = flipped_proba * weight[unknown]
            np.multiply(self.kept_weight + flipped_weight, flip, out=slopes[1])
            slopes[1] -= flipped_weight
        gradient = weighted_sums(self.X_transposed, slopes)
        gradient += np.array([self.penalty, self.flip_penalty])[: len(coef), None] * coef
        totals = slopes.sum(axis=1)
        if self.learns_flips:
            totals[1] += (kept + flipped) * expit(intercept[1]) - flipped
        return float(loss), self._vector(gradient * self._units(len(coef)), totals)


def _sigmoid(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sigmoid of scores, its logarithm, and that of one minus it, by one exponential.

    SciPy's functions for these are several times slower than NumPy's exponential.
    """
    small = np.exp(-np.abs(scores))
    log_total = np.log1p(small)
    value = np.where(scores >= 0, 1.0, small)
    value /= 1 + small
    return value, np.minimum(scores, 0) - log_total, -np.maximum(scores, 0) - log_total
