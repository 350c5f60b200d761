"""Logistic regression of two classes of which one is mistaken for the other, more in some rows."""

from numbers import Real

import numpy as np
from scipy.special import expit, logit

from skrobust.base._labels import encode_labels_like
from skrobust.linear_model._channel_loss import linear_scores
from skrobust.linear_model._flip_loss import FlipLoss
from skrobust.linear_model._linear_base import NoisyLinearClassifier
from skrobust.utils._sklearn import Interval, fit_context

# The problem is not convex: the solver starts from each of these flip rates.
_START_RATES = (0.05, 0.2, 0.5)
# Share of flipped labels among the rows that the class is thought to have been seen with.
_PRIOR_FLIP_RATE = 0.2
# A lower flip rate to go on from would hardly move.
_LEAST_START = 1e-4


class InstanceFlipClassifier(NoisyLinearClassifier):
    """Logistic regression of two classes, of which one is sometimes labelled as the other.

    Two scores are linear in the row: the log-odds that it belongs to the class whose labels flip,
    and the log-odds that, if so, its label does. Given labels of that class are always right.
    Predictions are about true classes.

    .. versionadded:: 0.1

    Parameters
    ----------
    flipped_class : label, default=None
        The true class whose labels flip to the other one. None is ``classes_[1]``: positives that
        were missed, as in positive and unlabelled data.
    fixed_flip_rate : float, default=None
        The share of its labels that flip, if it is known and the same for all rows, in [0, 1).
        None: it is learned, and may differ between rows. 0 makes this
        :class:`~sklearn.linear_model.LogisticRegression`.
    C : float, default=1.0
        Inverse of the strength of the L2 penalty on coefficients of the true class, as of
        :class:`~sklearn.linear_model.LogisticRegression`; ``np.inf`` is none. Intercepts are not
        penalised.
    flip_C : float, default=0.003
        The same for coefficients of the flip rate. It must be small, see Notes; the smaller, the
        more alike are the flip rates of all rows.
    prior_strength : float, default=30.0
        How many rows of the class that are zero in all features the flip rate is thought to have
        been seen with beforehand, of which one in five was given the other label. 0 is none.
    fit_intercept : bool, default=True
        Whether the score of the true class has an intercept. That of flips always has.
    tol : float, default=1e-4
        The solver stops where no derivative of the mean loss is larger.
    max_iter : int, default=1000
        Largest number of iterations of the solver, for each start.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the coefficients of the last fit, and from nowhere else.

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
        The class whose labels flip.
    flip_rate_ : float
        Share of the rows of that class that were given the other label, by this model.
    noise_rate_ : float
        Share of the given labels that are wrong, by this model.
    n_iter_ : int
        Number of iterations of the solver, from the start that led to the best end.
    classes_ : ndarray of shape (2,)
        Labels, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    NoisyLogisticRegression : For errors that depend on the classes only, of any number.

    Notes
    -----
    With the sigmoid :math:`\\sigma`, a row of scores :math:`r` and :math:`\\gamma` is given the
    label of the class with probability :math:`\\sigma(r)(1 - \\sigma(\\gamma))`. This is the model
    of Yu and Qin, with scores that are linear in features. Rows that are labelled at random from
    positives, and others that are not labelled at all, are the limiting case of positive and
    unlabelled data: give the unlabelled rows the label of the other class.

    **What can be told apart.** Labels only show the product of two probabilities. A row that is
    never given the label of the class may not be of it, or be of it and always flip: without a
    penalty, flips could explain every row of the other label. What tells the two apart is that
    each is a logistic function, that flip rates change little from row to row (`flip_C`), and
    what the flip rate is thought to be (`prior_strength`). Where classes are no logistic function
    of the features, what the model lacks is taken for flips. So the flip rate should be taken
    with caution, unless it is given by `fixed_flip_rate`, or some rows are verified: these tell
    directly how often labels flip, and should not have been chosen because their labels look
    wrong. Penalties and prior have to do with the scales of features, and with where zero is:
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
        flipped_class=None,
        fixed_flip_rate=None,
        C=1.0,
        flip_C=0.003,
        prior_strength=30.0,
        fit_intercept=True,
        tol=1e-4,
        max_iter=1000,
        warm_start=False,
    ):
        self.flipped_class = flipped_class
        self.fixed_flip_rate = fixed_flip_rate
        self.C = C
        self.flip_C = flip_C
        self.prior_strength = prior_strength
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        """Fit the coefficients of both scores to given labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Given labels of two classes. Rows whose label is None, NaN or blank are left out.
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
        if len(data.classes) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass:"
                f" y has {len(data.classes)} classes."
            )
        flipping = self._flipping(data.classes)
        goes_on = self._check_warm_start(X, data)
        X, given, verified, weight = self._rows(X, data)
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
        # The loss is about the class whose labels flip, coef_ about the second one.
        sign = 1.0 if flipping == 1 else -1.0
        starts = self._starts(X.shape[1], sign, goes_on, learned=log_odds is None)
        results = [self._minimize(loss, loss.join(*start)) for start in starts]
        result = min(results, key=lambda result: result.fun)
        coef, intercept = loss.split(result.x)
        self.classes_ = data.classes
        self.flipped_class_ = data.classes[flipping]
        self.coef_, self.intercept_ = sign * coef[:1], sign * intercept[:1]
        if log_odds is None:
            self.flip_coef_, self.flip_intercept_ = coef[1:].copy(), intercept[1:].copy()
        else:
            self.flip_coef_, self.flip_intercept_ = np.zeros_like(coef), np.array([log_odds])
        member = expit(linear_scores(X, coef[:1], intercept[:1])[0])
        flipped = member * expit(linear_scores(X, self.flip_coef_, self.flip_intercept_)[0])
        self.noise_rate_ = float(np.average(flipped, weights=weight))
        self.flip_rate_ = self.noise_rate_ / float(np.average(member, weights=weight))
        self._conclude(result)
        return self

    def _flipping(self, classes) -> int:
        """Position of the class whose labels flip."""
        if self.flipped_class is None:
            return 1
        code = int(encode_labels_like([self.flipped_class], classes, name="flipped_class")[0])
        if code < 0:
            raise ValueError(
                f"flipped_class must be one of the labels {classes.tolist()} or None, got"
                f" {self.flipped_class!r}."
            )
        return code

    def _starts(self, n_features, sign, goes_on, *, learned) -> list:
        """Coefficients and intercepts that the solver starts from."""
        if goes_on:
            coef = np.vstack([sign * self.coef_, self.flip_coef_])
            intercept = np.concatenate([sign * self.intercept_, self.flip_intercept_])
            if learned:
                intercept[1] = max(intercept[1], logit(_LEAST_START))
            starts = [(coef, intercept)]
        else:
            origin = np.zeros((2, n_features))
            starts = [(origin, np.array([0.0, logit(rate)])) for rate in _START_RATES]
        return starts if learned else [(coef[:1], intercept[:1]) for coef, intercept in starts[:1]]

    def flip_proba(self, X):
        """Predict probabilities that labels flip.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples,)
            Probability that each row would be given the label of the other class, if its true
            class is ``flipped_class_``.
        """
        X = self._check_new(X)
        return expit(linear_scores(X, self.flip_coef_, self.flip_intercept_)[0])

    def predict_given_proba(self, X):
        """Predict probabilities of the labels that rows would be given.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, 2)
            Probabilities, in the order of ``classes_``. With them, new rows can be scored whose
            labels are as noisy.
        """
        proba, flips = self.predict_proba(X), self.flip_proba(X)
        flipping = int(np.flatnonzero(self.classes_ == self.flipped_class_)[0])
        moved = proba[:, flipping] * flips
        proba[:, flipping] -= moved
        proba[:, 1 - flipping] += moved
        return proba


def _indicate(codes, flipping) -> np.ndarray:
    """1 for the class whose labels flip, 0 for the other one, -1 for none."""
    return np.where(codes < 0, -1, (codes == flipping).astype(np.intp))
