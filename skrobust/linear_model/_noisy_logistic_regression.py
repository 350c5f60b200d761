"""Logistic regression that knows, or learns, how the labels went wrong."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import softmax

from skrobust.linear_model._channel_loss import ChannelLoss
from skrobust.linear_model._linear_base import NoisyLinearClassifier
from skrobust.noise._resolve import TRANSITION_CONSTRAINTS, check_usable, resolve_transition
from skrobust.noise._transitions import symmetric_transition
from skrobust.utils._sklearn import Interval, StrOptions, fit_context
from skrobust.utils._warnings import LabelNoiseWarning

# What a transition that is learned is thought to be beforehand. With less noise than this the
# solver is drawn to the matrix that changes nothing, and stays there; measured on a dozen tables.
_PRIOR_NOISE_RATE = 0.2
# Below this an entry of a transition to go on from would hardly move.
_LEAST_START = 1e-4


class NoisyLogisticRegression(NoisyLinearClassifier):
    """Logistic regression of true classes, fitted to labels of which some are wrong.

    True classes follow a multinomial logistic regression. A row of one class is given the label
    of another with the probability in the transition matrix, and what is maximised is the
    likelihood of the given labels. Predictions are about true classes.

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
          and estimates the matrix from the same rows. A
          :class:`~skrobust.utils.LabelNoiseWarning` says where that is of no use.
        - None: :class:`skrobust.noise.AnchorTransition`, whose evidence is a forest.
        - "learn": the matrix is learned together with the coefficients, from the same likelihood.
          That needs no other model, but leans on true classes being a logistic regression:
          where they are not, what it lacks may look like noise.
    C : float, default=1.0
        Inverse of the strength of the L2 penalty on coefficients, as of
        :class:`~sklearn.linear_model.LogisticRegression`; ``np.inf`` is none. Intercepts are not
        penalised.
    prior_strength : float, default=30.0
        Only for ``transition="learn"``: how many rows of each true class the matrix is thought to
        have been seen with beforehand, of which four in five were given the right label and the
        others were spread evenly over the wrong ones (a Dirichlet prior). The solver starts there
        too. 0 is maximum likelihood.
    require_dominance : bool, default=True
        Only for ``transition="learn"``: whether to refuse a learned matrix by which a true class
        is given some other label as often as its own. Which true class is which is uncertain
        then.
    fit_intercept : bool, default=True
        Whether scores have an intercept.
    tol : float, default=1e-4
        The solver stops where no derivative of the mean loss is larger.
    max_iter : int, default=1000
        Largest number of iterations of the solver.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the coefficients, and the learned matrix, of the last fit.
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
        The matrix that was used, or learned.
    transition_estimator_ : transition estimator
        The fitted estimator, if there was one.
    noise_rate_ : float
        Share of the given labels that are wrong by this model.
    n_iter_ : int
        Number of iterations of the solver.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    InstanceFlipClassifier : Lets labels of one class flip more often in some rows.
    skrobust.noise.AnchorTransition : Estimates a transition by rows that surely are of a class.
    skrobust.wrappers.LossCorrectedClassifier : Uses a transition for any classifier.

    Notes
    -----
    With the softmax :math:`p_k(x)` of the scores and the matrix :math:`T`, the likelihood of the
    label :math:`j` is :math:`\\sum_k p_k(x) T_{kj}`: the forward correction of Patrini et al. The
    problem is not convex, unless :math:`T` is the identity; L-BFGS starts where all classes are
    equally likely everywhere.

    Verified rows enter with their true class, as if their labels had gone through no channel. If
    the matrix is learned, what labels they were given counts there too: for that, they should not
    have been chosen because their labels look wrong.

    There are no class weights. A weight by given label changes how often each label is wrong
    among the rows that count, so that the matrix would no longer be that of the data; weights of
    rows that do not depend on labels are what `sample_weight` is for.

    The penalty works on scores of true classes, which are steeper than those of given labels.
    Features should be on like scales, as :class:`~sklearn.preprocessing.StandardScaler` makes
    them.

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
        transition=None,
        *,
        C=1.0,
        prior_strength=30.0,
        require_dominance=True,
        fit_intercept=True,
        tol=1e-4,
        max_iter=1000,
        warm_start=False,
        n_jobs=None,
        random_state=None,
    ):
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
    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        """Fit coefficients, and perhaps the transition matrix, to given labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Given labels. Rows whose label is None, NaN or blank are left out.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights. An integer weight counts as so many equal rows.

        Returns
        -------
        self : object
            Fitted classifier.
        """
        X, data = self._check_data(X, y, verified_labels, sample_weight)
        goes_on = self._check_warm_start(X, data)
        n_classes = len(data.classes)
        transition = self._resolve(data)
        rows = self._rows(X, data)
        loss = ChannelLoss(
            *rows,
            n_classes,
            penalty=1 / self.C,
            fit_intercept=self.fit_intercept,
            transition=transition,
            prior=self._prior(*rows[1:], n_classes) if transition is None else None,
        )
        coef, intercept = np.zeros((loss.n_scores, X.shape[1])), np.zeros(loss.n_scores)
        start = symmetric_transition(n_classes, _PRIOR_NOISE_RATE)
        if goes_on:
            coef, intercept = self.coef_, self.intercept_
            start = np.maximum(self.transition_matrix_, _LEAST_START)
        result = self._minimize(loss, loss.join(coef, intercept, start))
        coef, intercept, logits = loss.split(result.x)
        if logits is not None:
            transition = softmax(logits, axis=1)
            if self.require_dominance:
                _check_dominance(transition, data.classes)
        self.classes_ = data.classes
        self.coef_, self.intercept_ = coef.copy(), intercept.copy()
        self.transition_matrix_ = transition
        right = loss.true_proba(coef, intercept) @ transition.diagonal()
        self.noise_rate_ = float(1 - loss.mean(right))
        self._conclude(result)
        return self

    def _resolve(self, data) -> np.ndarray | None:
        """Look up or estimate the transition; None if it is to be learned."""
        vars(self).pop("transition_estimator_", None)
        if isinstance(self.transition, str):
            return None
        transition, estimator = resolve_transition(
            self.transition, data, random_state=self.random_state, n_jobs=self.n_jobs
        )
        if estimator is None:
            check_usable(transition, data.classes, "invertible")
            return transition
        self.transition_estimator_ = estimator
        _check_possible(transition, data)
        try:
            check_usable(transition, data.classes, "invertible", what="estimated transition")
        except ValueError as error:
            # The likelihood is still one, but says little: for the labels to blame, not the user.
            warnings.warn(
                f"{error} Predictions are hardly better than chance then.",
                LabelNoiseWarning,
                stacklevel=4,
            )
        return transition

    def _prior(self, given, verified, weight, n_classes) -> np.ndarray:
        """Mass of rows by true class and given label that is assumed, or known from verdicts."""
        both = np.flatnonzero((verified >= 0) & (given >= 0))
        pairs = verified[both] * n_classes + given[both]
        counts = np.bincount(
            pairs, weights=None if weight is None else weight[both], minlength=n_classes**2
        )
        assumed = self.prior_strength * symmetric_transition(n_classes, _PRIOR_NOISE_RATE)
        return assumed + counts.reshape(assumed.shape)

    def predict_given_proba(self, X):
        """Predict probabilities of the labels that rows would be given.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``: those of true classes, times the
            transition matrix. With them, new rows can be scored whose labels are as noisy.
        """
        return self.predict_proba(X) @ self.transition_matrix_


def _check_possible(transition, data) -> None:
    """Refuse an estimate by which some given label has never been given."""
    given = np.unique(data.y[data.used & (data.verified < 0)])
    given = given[given >= 0]
    never = given[transition[:, given].max(axis=0) <= 0]
    if len(never):
        raise ValueError(
            f"The transition as it is estimated gives no row the label"
            f" {data.classes.tolist()[never[0]]!r}, which rows have: pass another estimator, or"
            " the transition as a matrix."
        )


def _check_dominance(transition, classes) -> None:
    """Refuse what was learned if some class seems to be given another label more than its own."""
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
