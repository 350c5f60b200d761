"""Loss correction: train a classifier of true classes on noisy labels by a transition matrix."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

from skrobust.base import LabelledData, TransitionEstimator
from skrobust.base._labelled_data import fit_inside
from skrobust.evidence._evidence import check_predicts_proba, predict_columns
from skrobust.evidence._out_of_bag import default_forest
from skrobust.noise._noise_model import NoiseModel
from skrobust.noise._resolve import (
    TRANSITION_CONSTRAINTS,
    check_usable,
    default_transition,
    resolve_transition,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import is_plain_numeric
from skrobust.utils._sklearn import HasMethods, StrOptions, fit_context
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._warnings import warn_user
from skrobust.weighting import ImportanceReweighter
from skrobust.wrappers._base import FIT_INSIDE_CONSTRAINTS, BaseWrapper, ClassifierWrapper
from skrobust.wrappers._replicates import (
    check_takes_negative_weights,
    replicate,
    train_on_replicates,
)
from skrobust.wrappers._training_set import weighted

# More steps than this change no prediction any more, measured on ten data sets with label noise.
_N_STEPS = 100
# An estimate that cannot be used is mixed with the identity: these shares of it are tried in turn,
_SHARES = np.arange(9, -1, -1) / 10
# until in each class the right label is more probable than any wrong one by this much.
_LEAST_LEAD = 0.1


@fill_docstring
class LossCorrectedClassifier(ClassifierWrapper, BaseWrapper):
    """Classifier of true classes, trained on noisy labels with a loss correction.

    All methods use a transition matrix: the probability of each given label for each true
    class. It is known, or estimated from the same rows. No single label is flagged; the expected
    loss is corrected.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    transition : array-like of shape (n_classes, n_classes), TransitionEstimator or None, \
default=None
        Transition matrix: the probability of each given label (columns) for each true class
        (rows), with classes in sorted order; or an estimator of it, cloned. None is
        :class:`~skrobust.noise.AnchorTransition`: where X is a numeric feature matrix, with the
        out-of-bag probabilities of a forest, and otherwise with the out-of-fold probabilities of
        `estimator`. True classes must be identifiable from given labels: a matrix by which they
        are not is refused. If they are not by an estimate, a :class:`LabelNoiseWarning
        <skrobust.utils.LabelNoiseWarning>` is issued, and with "backward" and "posterior" only a
        part of the estimated noise is corrected.
    method : {"importance", "backward", "posterior"}, default="importance"
        How to correct:

        - "importance": weight each row by the ratio of the probability that its label is the true
          one to the probability that it is the given one. `estimator` must take sample weights;
        - "backward": train on a replicate of each row for each class, with weights from the inverse
          of the matrix, some of which are negative. `estimator` must support negative weights;
        - "posterior": train on the given labels, and turn the probabilities of given labels that
          `estimator` predicts into those of true classes.
    evidence : classifier with ``predict_proba``, default=None
        Only for "importance": model of the out-of-sample probabilities of given labels, cloned.
        None is a forest with out-of-bag probabilities where X is a numeric feature matrix, and
        otherwise `estimator`, by its out-of-fold probabilities. A smooth model that differs from
        `estimator` gives better weights.
    cv : int, splitter or iterable of (train, test), default=None
        Folds of out-of-fold probabilities, of `evidence` and of `transition`. None is their own
        default: five folds, stratified.
    n_jobs : int, default=None
        Number of parallel folds, or threads, of `evidence` and of `transition`.
    random_state : int, RandomState instance or None, default=None
        If not None, the seed of `evidence` and of `transition`. `estimator` keeps its own.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache the estimates, so that a search over parameters of `estimator` estimates
        once per training fold. Needs an integer `random_state`, here or in `transition`.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier. With "posterior" it predicts given labels.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        The transition.
    transition_estimator_ : TransitionEstimator or None
        Fitted estimator of the transition; None if a matrix was passed.
    sample_weight_ : ndarray of shape (n_samples,)
        Only for "importance": weights with mean 1, 0 where there is no label.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    CleaningClassifier : Detects label errors and trains without them.
    skrobust.weighting.ImportanceReweighter : The weights of "importance".
    skrobust.noise.unbiased_labels : The weights of "backward".
    skrobust.linear_model.NoisyLogisticRegression : Forward correction of logistic regression.

    Notes
    -----
    With the identity as the transition, every method is `estimator` alone. Verified labels are
    free of noise: with "importance" they have weight 1, with "backward" they have no
    replicates, and with "posterior", where the classifier learns given labels, they are replaced by
    replicates with the given labels of that class, weighted by their probabilities
    (which requires that `estimator` takes sample weights).

    Measured on four data sets with 40 % symmetric or 30 % pair noise, "importance" gained most,
    5 to 11 points of accuracy, with an estimated transition no less than with the true one;
    "posterior" gained nothing and 4 to 6 points, and "backward" of logistic regression lost up to
    2 points and gained 4 to 5. :class:`CleaningClassifier` gained more than any of them, as long as
    label errors can be detected from the input.

    **importance.** The weight of a row of label :math:`j` is
    :math:`P(Y=j|x) / P(\\tilde Y=j|x)`. The denominator is what `evidence` predicts, and the
    numerator follows from it by the transition :math:`T`. True probabilities are constrained to be
    nonnegative, so that the weight, before it is scaled to the mean of 1, is in
    :math:`[0, 1/T_{jj}]`. Rows of weight zero are left out; a class of which all rows have weight
    zero keeps them.

    **backward.** With the weights :math:`T^{-1}_{\\tilde y k}` the expected loss is that on true
    labels, whatever the model. The price is variance, which grows with the square of the inverse:
    with two classes, as :math:`1/(1-\\rho_0-\\rho_1)^2`. Weights are negative wherever a label is
    less likely to be right than by chance. Clipping them is no correction: with symmetric
    noise it leaves exactly training without a correction, so there is no such option. A negative
    weight rewards wrong predictions for a replicate, for most losses without bound.
    The logistic loss is linear in its target, and the weights of all replicates of a row sum to 1:
    its sum over these is as convex as without noise, and a penalty keeps it bounded. So
    :class:`~sklearn.linear_model.LogisticRegression` (with a penalty, and one of the solvers
    "lbfgs", "newton-cg" and "newton-cholesky"), ``SGDClassifier(loss="log_loss")`` and
    :class:`~sklearn.ensemble.GradientBoostingClassifier` (with neither `subsample` nor
    `n_iter_no_change`) are supported, alone or as the last step of a pipeline, and others are
    refused: forests and naive Bayes would compute negative probabilities, and
    :class:`~sklearn.ensemble.HistGradientBoostingClassifier` bins by weight. The training set
    has up to `n_classes` times as many rows, and a classifier that counts rows, as in
    `min_samples_leaf`, counts replicates.

    **posterior.** The probabilities of true classes are those that the transition maps to the
    predicted ones, where such exist, and otherwise those of maximum likelihood. They are only as
    good as the predicted probabilities of given labels: calibrate a model that has memorised the
    noise first, by :class:`~sklearn.calibration.CalibratedClassifierCV`. With symmetric noise, the
    most probable class stays the same, and only probabilities change.

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

    sample_weight_: np.ndarray
    transition_matrix_: np.ndarray
    transition_estimator_: TransitionEstimator | None

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        **FIT_INSIDE_CONSTRAINTS,
        "transition": TRANSITION_CONSTRAINTS,
        "method": [StrOptions({"importance", "backward", "posterior"})],
        "evidence": [HasMethods(["fit", "predict_proba"]), None],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        transition: ArrayLike | TransitionEstimator | None = None,
        *,
        method: str = "importance",
        evidence: Any = None,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        memory: Any = None,
    ) -> None:
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

    def _predictor(self, name):
        model = super()._predictor(name)
        if self.method != "posterior":
            return model
        matrix = getattr(self, "transition_matrix_", None)
        return PosteriorModel(model, matrix, getattr(self, "classes_", None))

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Estimate the transition, and train the classifier with the correction.

        Parameters
        ----------
        %(X)s
        %(y_not_fitted)s
        %(verified_labels)s
            They are taken as true.
        %(sample_weight)s
        %(groups)s
        %(fit_params)s

        Returns
        -------
        %(returns_self)s

        Raises
        ------
        TypeError
            If `estimator` takes no sample weights, or no negative ones, and they are needed; or
            has no ``predict_proba`` for ``method="posterior"``.
        ValueError
            If a transition matrix is passed whose rows are no probabilities, that has another
            number of classes than the labels, or that is too noisy to be inverted; or by which,
            with ``method="backward"``, the total weight of a class is negative. If `memory` is
            passed and the estimate is not repeatable.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        if self.method == "backward":
            check_takes_negative_weights(self._get_estimator())
        elif self.method == "posterior":
            check_predicts_proba(self._get_estimator())
        needs_weight = self.method != "posterior" or bool((data.checked & data.used).any())
        final = self._prepare(data, params, own_weight="always" if needs_weight else "never")
        if self.method == "importance":
            reweighter = self._fit_reweighter(data)
            training = weighted(final, reweighter.sample_weight_)
            model = final.train(training)
            sample_weight = reweighter.sample_weight_
            matrix, estimator = reweighter.transition_matrix_, reweighter.transition_estimator_
        else:
            matrix, estimator = self._find_transition(data)
            training = replicate(data, self._weight_of_replicates(matrix, data), final.weight)
            model, sample_weight = train_on_replicates(final, training), None
        self.transition_matrix_, self.transition_estimator_ = matrix, estimator
        self._set_fitted_attributes(final, model, training.rows, sample_weight_=sample_weight)
        if self.method == "posterior":
            self.classes_: np.ndarray = data.classes
        return self

    def _fit_reweighter(self, data) -> ImportanceReweighter:
        """Fit the reweighter of "importance", or take the fitted one from the cache."""
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
        return fit_inside(reweighter, data, n_jobs=self.n_jobs, memory=self.memory)

    def _find_transition(self, data) -> tuple[np.ndarray, TransitionEstimator | None]:
        """Check or estimate the transition of "backward" and "posterior"."""
        estimated = self.transition is None or isinstance(self.transition, TransitionEstimator)
        matrix, estimator = resolve_transition(
            self.transition,
            data,
            estimator=self._get_estimator(),
            require=None if estimated else "invertible",
            cv=self.cv,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            memory=self.memory,
        )
        what = (
            f"transition as {type(estimator).__name__} estimates it" if estimated else "transition"
        )
        problem = self._find_problem(matrix, data, what)
        if problem is None:
            return matrix, estimator
        if not estimated:
            raise ValueError(
                f"{problem} The transition has too much noise for these labels: use another one,"
                " or method='importance' or 'posterior'."
            )
        for share in _SHARES:
            softened = share * matrix + (1 - share) * np.eye(len(matrix))
            if _lead(softened) >= _LEAST_LEAD and self._find_problem(softened, data) is None:
                break
        warn_user(f"{problem} Only {share:.0%} of the estimated noise is corrected.")
        return softened, estimator

    def _weight_of_replicates(self, matrix, data) -> np.ndarray:
        """Compute the weight of the replicate of each row with each label."""
        given, verified = np.eye(len(matrix)), matrix
        if self.method == "backward":
            given, verified = np.linalg.inv(matrix), given
        return np.where(data.checked[:, None], verified[data.verified], given[data.y])

    def _find_problem(self, matrix, data, what="transition") -> str | None:
        """Explain why a transition cannot be used with these labels, if so."""
        try:
            check_usable(matrix, data.classes, "invertible", what=what)
        except ValueError as error:
            return str(error)
        if self.method != "backward":
            return None
        training = replicate(data, self._weight_of_replicates(matrix, data), data.sample_weight)
        total, rows = (
            np.bincount(training.targets, weights, minlength=len(data.classes))
            for weights in (training.weight, None)
        )
        k = int(np.argmin(np.where(rows > 0, total, np.inf)))
        if total[k] > 0:
            return None
        return (
            f"By the {what}, {total[k] / total.sum():.1%} of the rows are of the true class"
            f" {data.classes.tolist()[k]!r}: its label is given less often than other classes alone"
            " should be mistaken for it."
        )


class PosteriorModel:
    """Predictions of true classes by a classifier of given labels and a transition matrix."""

    def __init__(self, estimator, transition, classes):
        self.estimator = estimator
        self.transition = transition
        self.classes = classes

    def predict(self, X) -> np.ndarray:
        """Predict true classes."""
        return self.classes[self.predict_proba(X).argmax(axis=1)]

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X) -> np.ndarray:
        """Predict probabilities of true classes."""
        given = predict_columns(self.estimator, X, self.classes)
        return true_class_proba(given, self.transition)

    @property
    def decision_function(self):
        """Not available."""
        raise AttributeError(
            "With method='posterior' the scores of the classifier are about given labels: use"
            " predict_proba."
        )


def true_class_proba(given_proba: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Turn probabilities of given labels into those of true classes.

    They are exact where the inverse gives no negative ones, and of maximum likelihood elsewhere.
    """
    true_proba = given_proba @ np.linalg.inv(transition)
    impossible = true_proba.min(axis=1) < 0
    if impossible.any():
        noise = NoiseModel(transition, 1.0)
        true_proba[impossible] = noise.invert(given_proba[impossible], n_steps=_N_STEPS)
    return true_proba


def _lead(matrix) -> float:
    """Least probability by which the right label of a class is ahead of any wrong one."""
    wrong = matrix - np.diag(np.full(len(matrix), np.inf))
    return float((matrix.diagonal() - wrong.max(axis=1)).min())
