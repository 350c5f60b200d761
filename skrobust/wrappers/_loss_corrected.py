"""Train a classifier through what is known of how the labels go wrong."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelledData, TransitionEstimator
from skrobust.evidence._out_of_bag import default_forest
from skrobust.evidence._out_of_fold import check_predicts_proba, predict_columns
from skrobust.noise._noise_model import NoiseModel
from skrobust.noise._resolve import (
    TRANSITION_CONSTRAINTS,
    check_usable,
    default_transition,
    resolve_transition,
)
from skrobust.utils._cached_fit import cached_fit
from skrobust.utils._predictions import predict_column
from skrobust.utils._rows import is_plain_numeric
from skrobust.utils._sklearn import (
    Features,
    HasMethods,
    StrOptions,
    fit_context,
    raise_for_params,
    safe_indexing,
)
from skrobust.utils._warnings import LabelNoiseWarning
from skrobust.utils._weights import index_fit_params
from skrobust.weighting import ImportanceReweighter
from skrobust.wrappers._copies import check_takes_negative_weights, expand_rows, fit_copies
from skrobust.wrappers._wrapper_base import (
    BaseWrapper,
    ClassifierWrapper,
    estimator_has,
    requested_weight,
)

# More steps than this change no prediction any more, measured on ten tables with planted errors.
_N_STEPS = 100
# An estimate that cannot be used is mixed with the identity: so much of it is tried in turn,
_SHARES = np.arange(9, -1, -1) / 10
# until in each class the right label is ahead of any wrong one by this probability.
_LEAST_LEAD = 0.1


def _keeps_scores(self):
    """Condition for ``available_if``: whether scores of the classifier are about true classes."""
    if self.method == "posterior":
        raise AttributeError(
            "With method='posterior' the scores of the classifier are about given labels: use"
            " predict_proba."
        )
    return estimator_has("decision_function")(self)


def _has_log_proba(self):
    """Condition for ``available_if``: what the logarithms are computed from, or by."""
    return estimator_has("predict_proba" if self.method == "posterior" else "predict_log_proba")(
        self
    )


class LossCorrectedClassifier(ClassifierWrapper, BaseWrapper):
    """Train a classifier on noisy labels such that it tells true ones, given how labels go wrong.

    All methods rest on a transition matrix: the probability of each given label for each true
    class. It is known, or estimated from the same rows. No label is called right or wrong; what
    is corrected is the sum.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    transition : array-like of shape (n_classes, n_classes), TransitionEstimator or None, \
default=None
        How labels go wrong: the probability of each given label (columns) for each true class
        (rows), with classes in sorted order; or what estimates it, cloned. None is
        :class:`~skrobust.noise.AnchorTransition`: where X is a table of numbers, with the
        out-of-bag probabilities of a forest, and otherwise with the out-of-fold probabilities of
        `estimator`. It must be possible to tell true classes from given labels: a matrix by which
        it is not is refused. Where it is not by an estimate, a :class:`LabelNoiseWarning
        <skrobust.utils.LabelNoiseWarning>` says so, and with "backward" and "posterior" only a
        part of the estimated noise is corrected.
    method : {"importance", "backward", "posterior"}, default="importance"
        How to correct:

        - "importance": weigh each row by how much more likely its label is as the true one than
          as the given one. `estimator` must take sample weights;
        - "backward": train on a copy of each row for each class, with weights from the inverse of
          the matrix, some of which are negative. `estimator` must take them for what they are;
        - "posterior": train on the given labels, and turn the probabilities of given labels that
          `estimator` predicts into those of true classes.
    evidence : classifier with ``predict_proba``, default=None
        Only for "importance": what says how likely each label is to be given, out of sample;
        cloned. None is a forest with out-of-bag probabilities where X is a table of numbers, and
        otherwise `estimator`, by its out-of-fold probabilities. A smooth model, unlike the one
        that is trained, is the better judge.
    cv : int, splitter or iterable of (train, test), default=None
        Folds of out-of-fold probabilities, of `evidence` and of `transition`. None is their own
        default: five folds, stratified.
    n_jobs : int, default=None
        Number of folds, or of threads, at a time, of `evidence` and of `transition`.
    random_state : int, RandomState instance or None, default=None
        If not None, the seed of `evidence` and of `transition`. The estimator keeps its own.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache what is estimated from the rows, so that a search over parameters of
        `estimator` estimates once per training fold. Needs an integer `random_state`, here or in
        `transition`.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier. With "posterior" it predicts given labels.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        The transition.
    transition_estimator_ : TransitionEstimator or None
        What estimated it, fitted; None if a matrix was given.
    sample_weight_ : ndarray of shape (n_samples,)
        Only for "importance": weights with mean 1, 0 where there is no label.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    CleaningClassifier : Finds the wrong labels and trains without them.
    skrobust.weighting.ImportanceReweighter : The weights of "importance".
    skrobust.noise.unbiased_labels : The weights of "backward".
    skrobust.linear_model.NoisyLogisticRegression : Forward correction of logistic regression.

    Notes
    -----
    With the identity for a transition, every method is `estimator` alone. Verified rows went
    through no channel: with "importance" their verified label weighs 1, with "backward" it has no
    copies, and with "posterior", where the classifier is to learn given labels, it is replaced by
    copies with the labels that the class would be given, weighed by how likely they are
    (for that, `estimator` must take sample weights).

    Measured on four tables with 40 % of symmetric or 30 % of pair noise, "importance" gained most,
    5 to 11 points of accuracy, with an estimated transition no less than with the true one;
    "posterior" gained nothing and 4 to 6 points, and "backward" of logistic regression lost up to
    2 points and gained 4 to 5. :class:`CleaningClassifier` gained more than any of them, as long as
    the input tells which labels are wrong.

    **importance.** The weight of a row of label :math:`j` is
    :math:`P(Y=j|x) / P(\\tilde Y=j|x)`. The denominator is what `evidence` predicts, and the
    numerator follows from it through the transition :math:`T`. True probabilities are kept from
    being negative, so that the weight, before it is scaled to the mean of 1, is in
    :math:`[0, 1/T_{jj}]`. Rows of weight zero are left out; a class of which all rows have weight
    zero keeps them.

    **backward.** With the weights :math:`T^{-1}_{\\tilde y k}` the expected loss is that on true
    labels, whatever the model. The price is variance, which grows with the square of the inverse:
    with two classes, as :math:`1/(1-\\rho_0-\\rho_1)^2`. Weights are negative wherever a label is
    less likely to be right than by chance, and cutting these off is no correction: with symmetric
    noise it leaves exactly the plain training, so that there is no such option. A negative weight
    rewards the classifier for being wrong about a copy, which most losses reward without bound.
    The logistic loss is linear in its target, and the weights of all copies of a row sum to 1: its
    sum over these is as convex as without noise, and a penalty keeps it bounded. So
    :class:`~sklearn.linear_model.LogisticRegression` (with a penalty, and one of the solvers
    "lbfgs", "newton-cg" and "newton-cholesky"), ``SGDClassifier(loss="log_loss")`` and
    :class:`~sklearn.ensemble.GradientBoostingClassifier` (with neither `subsample` nor
    `n_iter_no_change`) are taken, alone or as the last step of a pipeline, and others are
    refused: forests and naive Bayes would make negative probabilities, and
    :class:`~sklearn.ensemble.HistGradientBoostingClassifier` makes bins by weight. The table
    has up to `n_classes` times as many rows, and a classifier that counts rows, as in
    `min_samples_leaf`, counts copies.

    **posterior.** True probabilities are those from which the transition makes what was
    predicted, where there are such, and otherwise those by which it is most likely. This is only
    as good as what `estimator` says of given labels: a model that has learned the noise by heart
    is to be calibrated first, by :class:`~sklearn.calibration.CalibratedClassifierCV`. With
    symmetric noise, the class with the largest probability stays the same, and only
    probabilities change.

    References
    ----------
    Liu and Tao (2016). Classification with noisy labels by importance reweighting. IEEE
    Transactions on Pattern Analysis and Machine Intelligence 38.

    Natarajan, Dhillon, Ravikumar and Tewari (2013). Learning with noisy labels. Advances in
    Neural Information Processing Systems 26.

    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise:
    a loss correction approach. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.noise import flip_labels
    >>> from skrobust.wrappers import LossCorrectedClassifier
    >>> X, y = make_classification(2000, class_sep=1.5, flip_y=0, random_state=0)
    >>> transition = np.array([[0.95, 0.05], [0.45, 0.55]])
    >>> y_noisy, _ = flip_labels(y, transition, random_state=0)
    >>> plain = LogisticRegression().fit(X, y_noisy).score(X, y)
    >>> for method in ("importance", "backward", "posterior"):
    ...     robust = LossCorrectedClassifier(LogisticRegression(), transition, method=method)
    ...     print(method, robust.fit(X, y_noisy).score(X, y) > plain + 0.05)
    importance True
    backward True
    posterior True
    """

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        "transition": TRANSITION_CONSTRAINTS,
        "method": [StrOptions({"importance", "backward", "posterior"})],
        "evidence": [HasMethods(["fit", "predict_proba"]), None],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "memory": [str, HasMethods(["cache"]), None],
    }

    def __init__(
        self,
        estimator=None,
        transition=None,
        *,
        method="importance",
        evidence=None,
        cv=None,
        n_jobs=None,
        random_state=None,
        memory=None,
    ):
        self.estimator = estimator
        self.transition = transition
        self.method = method
        self.evidence = evidence
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory

    def _helpers(self):
        helpers = []
        if self.transition is None:
            helpers.append(default_transition())
        elif hasattr(self.transition, "fit"):
            helpers.append(self.transition)
        if self.method == "importance":
            helpers.append(default_forest() if self.evidence is None else self.evidence)
        return helpers

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, **params):
        """Work out the transition, and train the classifier through it.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to all models as it is: arrays, sparse matrices, DataFrames, lists of
            texts.
        y : array-like of shape (n_samples,)
            Given labels. Rows whose label is None, NaN or blank are not trained on.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are taken for true.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit. An integer weight counts as so many equal rows.
        **params : dict
            More metadata for the classifier, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.

        Raises
        ------
        TypeError
            If `estimator` takes no sample weights, or no negative ones, and they are needed; or
            has no ``predict_proba`` for ``method="posterior"``.
        ValueError
            If a matrix is given as the transition that is not one of probabilities, has another
            number of classes than the labels, or is too noisy to be undone; or by which, with
            ``method="backward"``, a class would have fewer than no rows. If `memory` is given and
            the estimate is not repeatable.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        raise_for_params(params, self, "fit")
        features = Features(data.X)
        estimator = clone(self._get_estimator())
        self._check_method(estimator)
        needs_weight = self.method != "posterior" or bool((data.checked & data.used).any())
        fit_params = self._route(estimator, data, params, needs_weight=needs_weight)
        vars(self).pop("sample_weight_", None)
        if self.method == "importance":
            self._fit_weighed(estimator, data, fit_params)
        else:
            self._fit_copies(estimator, data, fit_params)
        self.classes_ = data.classes if self.method == "posterior" else self.estimator_.classes_
        features.record(self)
        return self

    def _check_method(self, estimator) -> None:
        if self.method == "backward":
            check_takes_negative_weights(estimator)
        elif self.method == "posterior":
            check_predicts_proba(estimator)

    def _fit_weighed(self, estimator, data, fit_params) -> None:
        """Train on rows weighed by how likely their labels are right, against being given."""
        evidence = self.evidence
        if evidence is None and not is_plain_numeric(data.X):
            evidence = self._get_estimator()
        reweighter = ImportanceReweighter(
            self.transition,
            evidence,
            cv=self.cv,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        )
        y, metadata = data.fit_arguments()
        reweighter = cached_fit(
            reweighter, data.X, y, metadata, n_jobs=self.n_jobs, memory=self.memory
        )
        self.transition_matrix_ = reweighter.transition_matrix_
        self.transition_estimator_ = reweighter.transition_estimator_
        self.sample_weight_ = reweighter.sample_weight_
        self._train_weighed(estimator, data, self.sample_weight_, fit_params)

    def _fit_copies(self, estimator, data, fit_params) -> None:
        """Train on given labels, or on copies of rows with several labels each."""
        estimated = self.transition is None or isinstance(self.transition, TransitionEstimator)
        matrix, self.transition_estimator_ = resolve_transition(
            self.transition,
            data,
            estimator=self._get_estimator(),
            require=None if estimated else "invertible",
            cv=self.cv,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            memory=self.memory,
        )
        if estimated:
            name = type(self.transition_estimator_).__name__
            matrix = self._soften(matrix, data, f"transition as {name} estimates it")
        elif (problem := self._find_problem(matrix, data)) is not None:
            raise ValueError(
                f"{problem} The transition has too much noise for these labels: use another one,"
                " or method='importance' or 'posterior'."
            )
        self.transition_matrix_ = matrix
        prior = requested_weight(estimator, data, fit_params)
        rows, codes, weight = expand_rows(data, self._weight_of_copies(matrix, data), prior)
        used = np.flatnonzero(data.used)
        targets = data.classes[codes]
        if len(rows) == len(used):
            # One copy of each: nothing is corrected, and no weights are needed.
            weight = None if prior is None else weight
            self._train(estimator, data, rows, targets, weight, fit_params)
            return
        place = np.searchsorted(used, rows)
        fit_params = index_fit_params(fit_params, used, data.n_samples)
        X = data.X if len(used) == data.n_samples else safe_indexing(data.X, used)
        y = data.classes[data.y_train[used]]
        self.estimator_ = fit_copies(estimator, X, y, place, targets, weight, fit_params)

    def _weight_of_copies(self, matrix, data) -> np.ndarray:
        """Weigh the copy of each row with each label, shape (n_samples, n_classes)."""
        identity = np.eye(len(matrix))
        given, verified = identity, matrix
        if self.method == "backward":
            given, verified = np.linalg.inv(matrix), identity
        return np.where(data.checked[:, None], verified[data.verified], given[data.y])

    def _find_problem(self, matrix, data, what="transition") -> str | None:
        """Say why a transition cannot be used with these labels, if so."""
        try:
            check_usable(matrix, data.classes, "invertible", what=what)
        except ValueError as error:
            return str(error)
        if self.method != "backward":
            return None
        weight_of = self._weight_of_copies(matrix, data)
        _, codes, weight = expand_rows(data, weight_of, data.sample_weight)
        return _lost_class(codes, weight, data.classes, what)

    def _soften(self, matrix, data, what) -> np.ndarray:
        """Draw an estimate that cannot be used towards no noise, as far as it takes, and say so."""
        problem = self._find_problem(matrix, data, what)
        if problem is None:
            return matrix
        for share in _SHARES:
            softened = share * matrix + (1 - share) * np.eye(len(matrix))
            if _lead(softened) >= _LEAST_LEAD and self._find_problem(softened, data) is None:
                break
        warnings.warn(
            f"{problem} As more cannot be undone, {share:.0%} of the estimated noise is corrected.",
            LabelNoiseWarning,
            stacklevel=5,
        )
        return softened

    def predict(self, X):
        """Predict true classes.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels.
        """
        check_is_fitted(self)
        if self.method != "posterior":
            return predict_column(self.estimator_, X)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @available_if(estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Predict probabilities of true classes.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        check_is_fitted(self)
        if self.method != "posterior":
            return self.estimator_.predict_proba(X)
        given = predict_columns(self.estimator_, X, self.classes_)
        return true_class_proba(given, self.transition_matrix_)

    @available_if(_has_log_proba)
    def predict_log_proba(self, X):
        """Predict logarithms of probabilities of true classes.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        check_is_fitted(self)
        if self.method != "posterior":
            return self.estimator_.predict_log_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(_keeps_scores)
    def decision_function(self, X):
        """Compute the decision function of the fitted classifier; not with "posterior".

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            As of the classifier.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)


def true_class_proba(given_proba, transition) -> np.ndarray:
    """Turn probabilities of given labels into those of true classes.

    Parameters
    ----------
    given_proba : ndarray of shape (n_samples, n_classes)
        Probabilities of given labels.
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes. It has an inverse.

    Returns
    -------
    true_proba : ndarray of shape (n_samples, n_classes)
        Those that the transition turns into the given ones, exactly where none of them is
        negative. Elsewhere, the most likely ones of those that are not.
    """
    true_proba = given_proba @ np.linalg.inv(transition)
    impossible = true_proba.min(axis=1) < 0
    if impossible.any():
        channel = NoiseModel(transition, 1.0)
        true_proba[impossible] = channel.invert(given_proba[impossible], n_steps=_N_STEPS)
    return true_proba


def _lead(matrix) -> float:
    """By how much right labels are more frequent than any wrong ones, in the worst class."""
    wrong = matrix - np.diag(np.full(len(matrix), np.inf))
    return float((matrix.diagonal() - wrong.max(axis=1)).min())


def _lost_class(codes, weight, classes, what) -> str | None:
    """Say by what weights a class has fewer than no rows, if so."""
    masses = np.bincount(codes, weights=weight, minlength=len(classes))
    seen = np.bincount(codes, minlength=len(classes)) > 0
    k = int(np.argmin(np.where(seen, masses, np.inf)))
    if masses[k] > 0:
        return None
    return (
        f"By the {what}, {masses[k] / masses.sum():.1%} of the rows are of the true class"
        f" {classes.tolist()[k]!r}: its label is given less often than other classes alone should"
        " be mistaken for it."
    )
