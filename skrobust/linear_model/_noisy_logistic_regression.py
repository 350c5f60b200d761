"""Logistic regression with a transition matrix inside the likelihood (forward correction)."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax, xlogy

from skrobust.base import LabelledData, TransitionEstimator
from skrobust.base._labelled_data import set_fitted
from skrobust.linear_model._linear_base import (
    DOCUMENTATION,
    NoisyLinearClassifier,
    linear_scores,
    weighted_sums,
    with_first_class,
)
from skrobust.noise._noise_model import count_labels, symmetric_matrix
from skrobust.noise._resolve import TRANSITION_CONSTRAINTS, check_usable, resolve_transition
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._parallel import for_each_block
from skrobust.utils._sklearn import Interval, StrOptions, fit_context
from skrobust.utils._typing import LabelsLike, MatrixLike
from skrobust.utils._warnings import warn_user

# Noise rate of the prior, and of the start, of a learned matrix. With less noise the solver
# converges to the identity; measured on a dozen data sets.
_PRIOR_NOISE_RATE = 0.2
# Smaller entries of a matrix to start from would hardly change.
_LEAST_START = 1e-4
# Likelihoods below this are computed from logarithms.
_SMALLEST_LIKELIHOOD = 1e-200


@fill_docstring(**DOCUMENTATION)
class NoisyLogisticRegression(NoisyLinearClassifier):
    """Logistic regression of true classes, fitted to given labels by forward correction.

    True classes follow a multinomial logistic regression, and given labels the row of the
    transition matrix that belongs to the true class. The likelihood of the given labels is
    maximised; predictions are of true classes.

    .. versionadded:: 0.1

    Parameters
    ----------
    transition : array-like of shape (n_classes, n_classes), transition estimator, "learn" or \
            None, default=None
        Probability of each given label (columns) for each true class (rows), both in the order
        of ``classes_``.

        - An array: known, and invertible. The identity makes this
          :class:`~sklearn.linear_model.LogisticRegression`.
        - A transition estimator, such as :class:`skrobust.noise.NeighborTransition`: it is cloned
          and fitted to the same rows. A :class:`~skrobust.utils.LabelNoiseWarning` is issued if
          its estimate cannot be inverted.
        - None: :class:`skrobust.noise.AnchorTransition` with out-of-bag probabilities of a forest.
        - "learn": fitted by maximum likelihood, together with the coefficients.
    C : float, default=1.0
        Inverse of the strength of the L2 penalty on coefficients, above 0, as of
        :class:`~sklearn.linear_model.LogisticRegression`; ``np.inf`` is none. Intercepts are not
        penalised.
    prior_strength : float, default=30.0
        Weight of the Dirichlet prior of a learned matrix, in rows of each true class, at least 0.
        Four in five of these have the right label, and the others are equally likely among the
        wrong ones. The solver starts there too. 0 is maximum likelihood.
    require_dominance : bool, default=True
        Whether a learned matrix raises an error if a true class is given some other label as often
        as its own, as the names of true classes are then uncertain.
    %(solver)s
    warm_start : bool, default=False
        Whether ``fit`` starts from the coefficients, and the learned matrix, of the last fit.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the transition estimator.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the transition estimator. All else is deterministic.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients of the true classes; of the second one, where there are two.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        The transition matrix, given, estimated or learned.
    transition_estimator_ : transition estimator
        The fitted estimator, if there was one.
    noise_rate_ : float
        Share of the given labels that are wrong according to the model, in [0, 1].
    n_iter_ : int
        Number of iterations of the solver.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    InstanceFlipClassifier : Flip rates of one class that depend on the row.
    skrobust.noise.AnchorTransition : Estimates a transition matrix.
    skrobust.wrappers.LossCorrectedClassifier : Uses a transition matrix for any classifier.

    Notes
    -----
    With the softmax :math:`p_k(x)` of the scores and the matrix :math:`T`, the likelihood of the
    label :math:`j` is :math:`\\sum_k p_k(x) T_{kj}`: the forward correction of Patrini et al. The
    problem is not convex, unless :math:`T` is the identity; L-BFGS starts with equal probabilities
    of all classes.

    Verified rows have the likelihood of their true class. A learned matrix also uses the counts of
    their given labels by true class. They should therefore not be chosen because their labels look
    wrong.

    There are no class weights. Weights by given label would change the share of wrong labels among
    the rows that count, so that the matrix would no longer be that of the data; `sample_weight`
    should not depend on labels.

    The penalty is on scores of true classes, which are steeper than those of given labels.
    Features should have similar scales, as by :class:`~sklearn.preprocessing.StandardScaler`.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise:
    a loss correction approach. CVPR.

    Bootkrajang and Kabán (2012). Label-noise robust logistic regression and its applications.
    ECML PKDD.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.linear_model import NoisyLogisticRegression
    >>> from skrobust.noise import flip_labels
    >>> X, y = make_classification(2000, class_sep=1.5, flip_y=0, random_state=0)
    >>> transition = np.array([[0.95, 0.05], [0.45, 0.55]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> robust = NoisyLogisticRegression(transition).fit(X, y_noisy)
    >>> robust.score(X, y) > LogisticRegression().fit(X, y_noisy).score(X, y) + 0.05
    True
    >>> learned = NoisyLogisticRegression("learn").fit(X, y_noisy)
    >>> bool(np.abs(learned.transition_matrix_ - transition).max() < 0.1)
    True
    """

    _parameter_constraints: dict = {
        **NoisyLinearClassifier._parameter_constraints,
        "transition": [StrOptions({"learn"}), *TRANSITION_CONSTRAINTS],
        "prior_strength": [Interval(Real, 0, None, closed="left")],
        "require_dominance": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        transition: ArrayLike | TransitionEstimator | str | None = None,
        *,
        C: float = 1.0,
        prior_strength: float = 30.0,
        require_dominance: bool = True,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 1000,
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.transition = transition
        self.C = C
        self.prior_strength = prior_strength
        self.require_dominance = require_dominance
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: MatrixLike,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit coefficients, and perhaps the transition matrix, to given labels.

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
        continued = self._check_warm_start(X, data)
        n_classes = len(data.classes)
        transition = self._resolve_transition(data)
        X, given, verified, weight = self._used_rows(X, data)
        prior = None
        if transition is None:
            prior = self.prior_strength * symmetric_matrix(n_classes, _PRIOR_NOISE_RATE)
            prior += count_labels(verified, given, n_classes, weight)
        loss = ForwardLoss(
            X,
            given,
            verified,
            weight,
            n_classes,
            penalty=1 / self.C,
            fit_intercept=self.fit_intercept,
            transition=transition,
            prior=prior,
        )
        coef, intercept = np.zeros((loss.n_scores, X.shape[1])), np.zeros(loss.n_scores)
        start = symmetric_matrix(n_classes, _PRIOR_NOISE_RATE)
        if continued:
            coef, intercept = self.coef_, self.intercept_
            start = np.maximum(self.transition_matrix_, _LEAST_START)
        result = self._minimize(loss, loss.join(coef, intercept, start))
        coef, intercept, logits = loss.split(result.x)
        if logits is not None:
            transition = softmax(logits, axis=1)
            if self.require_dominance:
                _check_dominance(transition, data.classes)
        self.classes_: np.ndarray = data.classes
        self.coef_: np.ndarray = coef.copy()
        self.intercept_: np.ndarray = intercept.copy()
        self.transition_matrix_: np.ndarray = transition
        right = loss.true_proba(coef, intercept) @ transition.diagonal()
        self.noise_rate_: float = float(1 - loss.mean(right))
        self._set_n_iter(result)
        return self

    def _resolve_transition(self, data: LabelledData) -> np.ndarray | None:
        """Validate or estimate the transition matrix; None if it is to be learned."""
        set_fitted(self, transition_estimator_=None)
        if isinstance(self.transition, str):
            return None
        transition, estimator = resolve_transition(
            self.transition, data, random_state=self.random_state, n_jobs=self.n_jobs
        )
        if estimator is None:
            check_usable(transition, data.classes, "invertible")
            return transition
        self.transition_estimator_: TransitionEstimator = estimator
        _check_possible(transition, data)
        try:
            check_usable(transition, data.classes, "invertible", what="estimated transition")
        except ValueError as error:
            warn_user(f"{error} Predictions are then hardly better than chance.")
        return transition

    def predict_given_proba(self, X: MatrixLike) -> np.ndarray:
        """Predict probabilities of given labels, to score new rows with the same noise.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities of true classes times the transition matrix, columns in the order of
            ``classes_``.
        """
        return self.predict_proba(X) @ self.transition_matrix_


def _check_possible(transition: np.ndarray, data: LabelledData) -> None:
    """Raise an error if an estimate excludes a label that rows have."""
    given = np.unique(data.y[data.used & ~data.checked])
    given = given[given >= 0]
    never = given[transition[:, given].max(axis=0) <= 0]
    if len(never):
        raise ValueError(
            f"The transition as it is estimated gives no row the label"
            f" {data.classes.tolist()[never[0]]!r}, which rows have: pass another estimator, or"
            " the transition as a matrix."
        )


class ForwardLoss:
    """Penalised mean negative log likelihood of given labels (forward correction).

    True classes follow a softmax of linear scores, and given labels follow the row of the
    transition matrix that belongs to the true class. With two classes only the second has a
    score; that of the first is zero. Called with a vector of parameters, it returns the loss and
    the gradient, in two passes over X and the memory of one matrix of shape
    (n_classes, n_samples).

    `verified` are true classes, -1 where unknown; `penalty` / 2, divided by the sum of weights,
    multiplies the sum of squared coefficients. Without a `transition` matrix, its rows are the
    softmax of further parameters, and `prior` is the weight of rows by true class and given label
    that are added to the data.
    """

    def __init__(
        self,
        X: Any,
        given: np.ndarray,
        verified: np.ndarray,
        weight: np.ndarray | None,
        n_classes: int,
        *,
        penalty: float,
        fit_intercept: bool,
        transition: np.ndarray | None = None,
        prior: np.ndarray | None = None,
    ) -> None:
        self.X = X
        self.X_transposed = X.T
        self.n_classes = n_classes
        self.fit_intercept = fit_intercept
        self.transition = transition
        self.prior = prior
        if prior is not None:
            # Subtracted, so that a strong prior does not dominate the loss in the solver.
            mean = prior / np.maximum(prior.sum(axis=1, keepdims=True), 1e-300)
            self.prior_loss = -xlogy(prior, mean).sum()
        # The transition matrix of verified labels is the identity.
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
        """Split a vector of parameters into coefficients, intercepts and logits of the matrix."""
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

    def join(
        self, coef: np.ndarray, intercept: np.ndarray, transition: np.ndarray | None = None
    ) -> np.ndarray:
        """Join coefficients, intercepts and a positive matrix to a vector of parameters."""
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
        label_proba = np.hstack([transition, np.eye(self.n_classes)])
        counts = None if logits is None else np.zeros((self.n_classes, 2 * self.n_classes))
        loss = self._pass(label_proba, counts) + self.penalty / 2 * np.vdot(coef, coef)
        slopes = self.scores[-self.n_scores :]  # derivatives, by _pass
        parts = [(weighted_sums(self.X_transposed, slopes) + self.penalty * coef).ravel()]
        if self.fit_intercept:
            parts.append(slopes.sum(axis=1))
        if logits is not None:
            joint = counts[:, : self.n_classes] + self.scale * self.prior
            loss -= self.scale * (xlogy(self.prior, transition).sum() + self.prior_loss)
            parts.append((transition * joint.sum(axis=1, keepdims=True) - joint).ravel())
        return loss, np.concatenate(parts)

    def _pass(self, label_proba: np.ndarray, counts: np.ndarray | None) -> float:
        """Sum the losses, and replace scores by the derivatives with respect to them.

        `label_proba` is the probability of each label, given or verified (columns), by true class;
        `counts` is increased by the expected weight of rows by true class and label.
        """
        losses = np.empty(len(self.column))
        with np.errstate(divide="ignore"):
            log_proba = np.log(label_proba)

        def step(start: int, stop: int) -> None:
            scores = self.scores[:, start:stop]
            own, weight = self.column[start:stop], self.weight[start:stop]
            scores -= scores.max(axis=0)
            proba = np.exp(scores)
            total = proba.sum(axis=0)
            joint = label_proba[:, own]
            joint *= proba
            likelihood = joint.sum(axis=0)
            # Where underflow is possible, the sum is computed from logarithms.
            rare = np.flatnonzero(likelihood < _SMALLEST_LIKELIHOOD)
            top = np.zeros(stop - start)
            if len(rare):
                logs = scores[:, rare] + log_proba[:, own[rare]]
                top[rare] = logs.max(axis=0)
                joint[:, rare] = np.exp(logs - top[rare])
                likelihood[rare] = joint[:, rare].sum(axis=0)
            losses[start:stop] = np.log(total) - np.log(likelihood) - top
            proba /= total
            joint /= likelihood
            if counts is not None:
                for k, row in enumerate(joint):
                    counts[k] += np.bincount(own, row * weight, minlength=label_proba.shape[1])
            np.subtract(proba, joint, out=scores)
            scores *= weight

        for_each_block(step, len(losses), 32 * self.n_classes)
        return float(self.weight @ losses)

    def true_proba(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Return the probabilities of true classes of the rows."""
        scores = linear_scores(self.X, coef, intercept)
        return softmax(with_first_class(scores), axis=0).T

    def mean(self, values: np.ndarray) -> float:
        """Average values of rows by their weights."""
        return float(self.weight @ values)


def _check_dominance(transition: np.ndarray, classes: np.ndarray) -> None:
    """Raise an error if a learned matrix gives a class another label as often as its own."""
    wrong = np.where(np.eye(len(classes), dtype=bool), -1.0, transition)
    k = int(np.argmax(wrong.max(axis=1) - transition.diagonal()))
    other = int(wrong[k].argmax())
    if wrong[k, other] >= transition[k, k]:
        names = classes.tolist()
        raise ValueError(
            f"The learned transition is not diagonally dominant: rows of the true class"
            f" {names[k]!r} seem to be given the label {names[other]!r} with probability"
            f" {wrong[k, other]:.3g}, their own with {transition[k, k]:.3g} only. Either the labels"
            " are that bad, or this model does not fit and takes that for noise: estimate the"
            " transition by other means, raise prior_strength, verify some labels, or set"
            " require_dominance=False to accept it."
        )
