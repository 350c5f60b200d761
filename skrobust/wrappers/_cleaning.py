"""Train a classifier on labels that have been cleaned first."""

from contextlib import nullcontext

import numpy as np
from sklearn.base import clone

from skrobust.base import LabelledData
from skrobust.base._labels import encode_labels_like
from skrobust.detection import EnsembleDetector
from skrobust.utils._argument_names import explain_names
from skrobust.utils._parallel import one_blas_thread
from skrobust.utils._sklearn import fit_context
from skrobust.utils._weights import takes_weight
from skrobust.wrappers._cleaning_base import BaseCleaning
from skrobust.wrappers._default_detector import default_detector
from skrobust.wrappers._given_evidence import given_detector
from skrobust.wrappers._held_out import held_out_hits
from skrobust.wrappers._trimming import trim_rows
from skrobust.wrappers._wrapper_base import ClassifierWrapper, requested_weight


class CleaningClassifier(ClassifierWrapper, BaseCleaning):
    """Find the wrong labels, deal with them, and train a classifier on the result.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    detector : label-error detector, default=None
        What finds the wrong labels, cloned. None is
        :class:`~skrobust.detection.EnsembleDetector`; where X is a numeric feature matrix, with
        models of its own, and otherwise with the out-of-fold probabilities of `estimator` and, if
        that is a pipeline, of diverse models behind its first steps. Smooth, diverse models
        detect errors better than the final classifier, which tends to have memorised them.
    action : {"relabel", "drop", "reweight"}, default="relabel"
        What to do about them:

        - "drop": leave out the flagged rows;
        - "relabel": train on the label that is most probable, the given one being part of the
          evidence (``posterior_labels_``). If `estimator` takes sample weights, rows are weighted
          by how much more probable this label is than all others together, and left out where
          it is not. If the detector has no such attribute, ``suggested_labels_`` is used with
          weight 1, rows without a suggestion are left out, and if it suggests no labels at all,
          this is "drop";
        - "reweight": flag none, but weigh each row by the quality of its label, with mean 1 in
          each class. `estimator` must take sample weights.

        Rows with a verified label are always trained on with that label, at full weight. Rows
        without any label are left out.
    cv : int, splitter or iterable of (train, test), default=None
        If not None, set as `cv` of the detector.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the detector.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the detector. The estimator keeps its own.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache the detection, so that a search over parameters of `estimator` detects
        once per training fold. Needs an integer `random_state`, here or in the detector. With
        the default detector the cached detection is shared between values of `estimator` only
        where X is a table of numbers.
    only_if_better : bool, default=False
        Whether to check first that cleaning helps `estimator`: in three folds it is trained
        plainly and as `action` says, and if it foretells more of the given labels of held-out
        rows when trained plainly, then that is how it is trained. It costs six more fits, and
        spares labels that look wrong only because classes are small or hard to tell apart.
        Where errors follow a pattern that a model can learn, they speak for plain training,
        unless verified rows taught the detector: then the held-out labels are its
        ``posterior_labels_``, which count by how probable they are.
    trim : bool, default=True
        Whether to leave out rows that `estimator` is too simple to fit, in the manner of trimmed
        losses, if that raises its accuracy on the labels of held-out rows by two standard errors.
        Where its training accuracy after cleaning is at most 95 %, this costs seven more fits,
        and otherwise none. Not done with ``action="reweight"``, without ``predict_proba``, or
        where `only_if_better` goes back to plain training. Rows with a verified label stay.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    cleaned_ : bool
        Whether it was trained as `action` says, which it always is without `only_if_better`.
    held_out_scores_ : dict
        With `only_if_better`: the shares of given labels foretold, "plain" and "cleaned".
    trimmed_ : ndarray of shape (n_samples,) of bool
        Rows that were left out by `trim`, flagged rows not included.
    detector_ : label-error detector
        The fitted detector, with ``label_quality_``, ``label_errors_`` and more.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    skrobust.detection.EnsembleDetector : Only finds the wrong labels.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Shen and Sanghavi (2019). Learning with bad training data via iterative trimmed loss
    minimization. ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.model_selection import train_test_split
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.wrappers import CleaningClassifier
    >>> X, y = make_classification(600, n_informative=5, class_sep=2, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> y_noisy, _ = flip_labels(y_train, symmetric_transition(2, 0.3), random_state=0)
    >>> plain = HistGradientBoostingClassifier(random_state=0)
    >>> cleaned = CleaningClassifier(plain, random_state=0).fit(X_train, y_noisy)
    >>> cleaned.score(X_test, y_test) > plain.fit(X_train, y_noisy).score(X_test, y_test)
    True
    """

    _parameter_constraints: dict = {
        **BaseCleaning._parameter_constraints,
        "only_if_better": ["boolean"],
        "trim": ["boolean"],
    }

    @explain_names
    def __init__(
        self,
        estimator=None,
        detector=None,
        *,
        action="relabel",
        cv=None,
        n_jobs=None,
        random_state=None,
        memory=None,
        only_if_better=False,
        trim=True,
    ):
        super().__init__(
            estimator,
            detector,
            action=action,
            cv=cv,
            n_jobs=n_jobs,
            random_state=random_state,
            memory=memory,
        )
        self.only_if_better = only_if_better
        self.trim = trim

    def _default_detector(self):
        return EnsembleDetector()

    def _make_detector(self, X):
        """Make the detector to fit, with the parameters that were given to this wrapper."""
        if self.detector is None:
            detector = default_detector(X, self._get_estimator())
        else:
            detector = clone(self.detector)
        return self._configure(detector)

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X,
        y,
        *,
        verified_labels=None,
        sample_weight=None,
        groups=None,
        label_errors=None,
        pred_proba=None,
        **params,
    ):
        """Find the wrong labels, deal with them and train the classifier.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to detector and classifier as it is: arrays, sparse matrices,
            DataFrames, lists of texts.
        y : array-like of shape (n_samples,)
            Given labels. Rows whose label is None, NaN or blank are not trained on.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are trained on instead of those in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit. An integer weight counts as so many equal rows.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group never judge one another.
        label_errors : array-like of shape (n_samples,) of bool, default=None
            Mask of the wrong labels, found elsewhere: `detector` is not fitted then. Enough for
            ``action="drop"``.
        pred_proba : array-like or DataFrame of shape (n_samples, n_classes), default=None
            Out-of-sample probabilities of the classes, computed elsewhere: `detector` is not
            fitted then. :class:`~skrobust.detection.ConfidentLearning` finds the wrong labels by
            them, set like `detector` if that is one too, unless `label_errors` names them. Columns
            are the classes in sorted order; those of a data frame are matched by name.
        **params : dict
            More metadata for the classifier, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        detector = None
        if label_errors is not None or pred_proba is not None:
            detector = given_detector(
                self.detector, data, y, label_errors, pred_proba, self.action
            ).fit(
                data.X,
                y,
                verified_labels=verified_labels,
                sample_weight=sample_weight,
                groups=groups,
            )
        self._fit(data, y, verified_labels, params, detector)
        self.classes_ = self.estimator_.classes_
        return self

    def _confirm(self, estimator, data, cleaned, fit_params, detector, needs_weight):
        """Go back to all rows, as they are, where the classifier does better with them."""
        self.cleaned_ = True
        vars(self).pop("held_out_scores_", None)
        if not self.only_if_better:
            return cleaned
        weight = requested_weight(estimator, data, fit_params)
        plain = np.flatnonzero(data.used), data.classes[data.y_train], weight
        shares = held_out_hits(
            estimator,
            data,
            [plain, cleaned],
            fit_params,
            target=_taught_labels(detector),
            needs_weight=needs_weight,
            n_jobs=self.n_jobs,
        )
        self.held_out_scores_ = dict(zip(("plain", "cleaned"), shares.tolist(), strict=True))
        self.cleaned_ = bool(shares[1] >= shares[0])
        return cleaned if self.cleaned_ else plain

    def _train_cleaned(self, estimator, data, cleaned, fit_params, needs_weight):
        """Train the classifier, and once more without the rows that it cannot fit."""
        super()._train_cleaned(estimator, data, cleaned, fit_params, needs_weight)
        self.trimmed_ = np.zeros(data.n_samples, dtype=bool)
        if not self.trim or not self.cleaned_ or self.action == "reweight":
            return
        # The default is a linear model, which more threads slow down; others may gain from them.
        with one_blas_thread() if self.estimator is None else nullcontext():
            trimmed = trim_rows(
                self.estimator_,
                estimator,
                data,
                cleaned,
                fit_params,
                needs_weight=needs_weight,
                n_jobs=self.n_jobs,
            )
        if trimmed is not None:
            rows, labels, weight = cleaned
            kept = np.setdiff1d(rows, trimmed), labels, weight
            super()._train_cleaned(clone(estimator), data, kept, fit_params, needs_weight)
            self.trimmed_[trimmed] = True

    def _clean(self, data, detector, weigh):
        """Decide which rows to train on, with which labels and weights.

        Returns
        -------
        rows : ndarray of shape (n_kept,)
            Row numbers.
        labels : ndarray of shape (n_samples,)
            Labels to train on.
        weight : ndarray of shape (n_samples,) or None
            Weights to train with.
        """
        labels = data.y_train.copy()
        weight = data.sample_weight
        doubted = detector.label_errors_ & (data.verified < 0)
        keep = data.used.copy()
        action = self.action
        if action == "relabel" and not _suggests(detector):
            action = "drop"
        if action == "drop":
            keep &= ~doubted
            if weight is not None:
                weight = np.where(data.verified >= 0, weight, detector.keep_weight_)
                keep &= weight > 0
        elif action == "relabel":
            name, suggested, certainty = self._corrections(detector)
            codes = encode_labels_like(suggested, data.classes, name=name)
            if name == "posterior_labels_":
                doubted |= (codes != labels) & (data.y >= 0) & (data.verified < 0)
            labels[doubted] = codes[doubted]
            if weigh and certainty is not None:
                weight = _certainty_weight(data, labels, np.maximum(2 * certainty - 1, 0), weight)
                keep &= weight > 0
            keep &= labels >= 0  # wrong, and no idea what would be right
        else:
            weight = self._quality_weight(data, detector, labels)
            keep &= weight > 0
        return np.flatnonzero(keep), data.classes[labels], weight

    def _corrections(self, detector) -> tuple:
        """What flagged labels are replaced by: the attribute, its labels, how sure they are."""
        if not hasattr(detector, "posterior_labels_"):
            return "suggested_labels_", detector.suggested_labels_, None
        proba = getattr(detector, "posterior_proba_", None)
        return "posterior_labels_", detector.posterior_labels_, proba

    def _may_weigh(self, estimator, data, fit_params):
        """Corrected labels count by how sure they are, if nothing speaks against weights."""
        if self.action != "relabel" or not takes_weight(estimator):
            return False
        if data.sample_weight is None:
            return True
        return requested_weight(estimator, data, fit_params) is not None

    def _quality_weight(self, data, detector, labels) -> np.ndarray:
        """Weigh rows by the quality of their labels, with mean 1 per class."""
        quality = np.array(detector.label_quality_, dtype=np.float64)
        # Where the detector cannot say, or a person has, the row counts in full.
        quality[np.isnan(quality) | (data.verified >= 0)] = 1.0
        prior = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        weight = np.where(data.used, prior * quality, 0.0)
        for k in np.unique(labels[data.used]):
            rows = data.used & (labels == k)
            total = weight[rows].sum()
            weight[rows] = weight[rows] * (prior[rows].sum() / total) if total else prior[rows]
        return weight


def _certainty_weight(data, labels, certainty, weight) -> np.ndarray:
    """Multiply weights by the certainty of labels, except where a class would be left with none."""
    certainty = np.where(data.verified >= 0, 1.0, certainty)
    for k in np.unique(labels[data.used & (labels >= 0)]):
        rows = data.used & (labels == k)
        if not certainty[rows].any():
            certainty[rows] = 1.0
    return certainty if weight is None else weight * certainty


def _suggests(detector) -> bool:
    """Whether a fitted detector has labels to replace flagged ones by."""
    return hasattr(detector, "posterior_labels_") or hasattr(detector, "suggested_labels_")


def _taught_labels(detector):
    """What labels are, and how probably, as verified rows teach; None if they teach nothing."""
    if not getattr(detector, "is_calibrated", False) or not hasattr(detector, "posterior_proba_"):
        return None
    return detector.posterior_labels_, detector.posterior_proba_
