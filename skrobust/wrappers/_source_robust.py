"""Train a classifier on labels from several sources, some of which may be arbitrarily wrong."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelledData
from skrobust.base._labelled_data import check_rows_match
from skrobust.base._labels import encode_labels_like
from skrobust.evidence._out_of_fold import predict_columns
from skrobust.utils._predictions import predict_column
from skrobust.utils._sklearn import fit_context
from skrobust.wrappers._aggregation import aggregate_sources
from skrobust.wrappers._source_robust_base import BaseSourceRobust
from skrobust.wrappers._wrapper_base import ClassifierWrapper, estimator_has


def _has_decision_function(self):
    """Condition for ``available_if``: there is one model, which has the method."""
    return self.combine != "predictions" and estimator_has("decision_function")(self)


class SourceRobustClassifier(ClassifierWrapper, BaseSourceRobust):
    """Train a classifier on labels from several sources, some of which may be arbitrarily wrong.

    Sources are annotators, sites, batches, scrapers: whoever a label comes from. One classifier
    is trained per source, and what they predict is aggregated in a way that a minority of them
    cannot move far. This shows which sources disagree with the rest, and gives the classifier.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    n_faulty : int or float, default=None
        How many sources may be wrong: a number, or a share, of which the whole number below
        counts. Less than half. None is as many as can be survived, ``(n_sources - 1) // 2``.
    combine : {"rows", "predictions", "coefficients"}, default="rows"
        What becomes of the classifiers of the sources:

        - "rows": at most `n_faulty` sources that clearly disagree with the aggregate are left
          out, and one classifier is trained on the rows of all others;
        - "predictions": what they predict is aggregated for each row: probabilities, or votes
          where `estimator` has no ``predict_proba``;
        - "coefficients": their coefficients are aggregated, of linear models that have learned
          the same classes.
    aggregation : {"nna_median", "mean", "trimmed_mean", "median", "geometric_median"}, \
default="nna_median"
        How to aggregate; see :func:`aggregate_sources`. "mean" survives no faulty source.
    n_jobs : int, default=None
        Number of sources whose classifiers are fitted in parallel.
    random_state : int, RandomState instance or None, default=None
        Seed for parts of `estimator` that have none. None draws fresh entropy.

    Attributes
    ----------
    estimator_ : classifier
        The one fitted classifier, unless ``combine="predictions"``.
    estimators_ : list of length n_sources
        The classifier of each source; None for a source with labels of one class only.
    sources_ : ndarray of shape (n_sources,)
        Sources, sorted.
    faulty_sources_ : ndarray of shape (n_sources,) of bool
        Sources that clearly disagree with what all of them together predict: the ones to look
        into, whatever is combined.
    source_disagreement_ : ndarray of shape (n_sources,)
        Share of the labels of each source that differ from what all sources together predict.
    n_faulty_ : int
        How many sources could be survived if they were wrong.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    SourceRobustRegressor : The same for numeric targets.
    aggregate_sources : Only aggregates.
    CleaningClassifier : Finds single wrong labels, wherever they come from.

    Notes
    -----
    A minority counts in sources, not in rows: a source with most of the rows has one voice.

    With "rows" the classifier sees nearly as many rows as were right, so that it is nearly as
    good as if the faulty sources had been known. That is the best choice where a source is either
    mostly right or clearly wrong. A source that is wrong about few rows only stays, and its wrong
    labels do what they would do to `estimator` alone. With "predictions" each prediction is safe
    from `n_faulty` sources, whatever they are wrong about, but every classifier has learned from
    the rows of one source; this suits models that need few rows, such as linear ones. So does
    "coefficients", which makes a single small model that says why.

    Sources are doubted by how many of their labels are not those that all sources together
    predict, of all rows and of the rows that are predicted to be of each class. The sources that
    agree most, all but `n_faulty`, say what is usual; a source is left out if it is above that by
    more than chance explains and by three times of how much the best differ from one another.
    Where honest sources have very unlike rows, some of those may be left out too.

    A source whose labels are all of one class cannot tell anything about classes and has no voice,
    and the number of sources that may be faulty is counted without it. Its labels are compared
    all the same, and with "rows" they are trained on. A class that a source does not know has
    probability zero there, so that a class that most sources do not know is never predicted
    by "predictions", and sources that label it look wrong. Where sources are to be trusted with
    different classes, they are no witnesses of one another.

    Rows with a verified label are trained on with that label, also where their source is left out.

    References
    ----------
    Farhadkhani, Guerraoui, Gupta, Hoang, Pinot and Stephan (2023). Robust collaborative learning
    with linear gradient overhead. ICML.

    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot and Stephan (2023). Fixing by mixing: a recipe
    for optimal Byzantine ML under heterogeneity. AISTATS.

    Examples
    --------
    Ten sites, of which three have mixed up their classes:

    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import train_test_split
    >>> from skrobust.wrappers import SourceRobustClassifier
    >>> X, y = make_classification(1500, n_informative=5, class_sep=2, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> sites = np.arange(len(y_train)) % 10
    >>> y_given = np.where(sites < 3, 1 - y_train, y_train)
    >>> robust = SourceRobustClassifier().fit(X_train, y_given, sources=sites)
    >>> robust.sources_[robust.faulty_sources_].tolist()
    [0, 1, 2]
    >>> robust.score(X_test, y_test) > LogisticRegression().fit(X_train, y_given).score(
    ...     X_test, y_test
    ... )
    True
    """

    _counts_errors = True

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, sources=None, verified_labels=None, sample_weight=None, **params):
        """Train one classifier per source, compare them and combine what they have learned.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to the classifiers as it is: arrays, sparse matrices, DataFrames, lists
            of texts.
        y : array-like of shape (n_samples,)
            Given labels. Rows whose label is None, NaN or blank are not trained on.
        sources : array-like of shape (n_samples,), default=None
            Where each label comes from: names or numbers, none missing. None is a single source,
            which nothing can be compared with; a :class:`LabelNoiseWarning
            <skrobust.utils.LabelNoiseWarning>` says so.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are trained on instead of those in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit. An integer weight counts as so many equal rows.
        **params : dict
            More metadata for the classifier, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        check_rows_match(y, sources=sources)
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        targets = data.classes[np.maximum(data.y_train, 0)]
        return self._fit(data, targets, sources, params)

    def _can_learn(self, targets) -> bool:
        return len(np.unique(targets)) > 1

    def _check_alignment(self, targets, rows_of, names) -> None:
        if self.combine != "coefficients":
            return
        classes = np.unique(targets[np.concatenate(rows_of)])
        for name, rows in zip(names.tolist(), rows_of, strict=True):
            own = np.unique(targets[rows])
            if len(own) < len(classes):
                lacking = np.setdiff1d(classes, own).tolist()
                raise ValueError(
                    "combine='coefficients' needs labels of all classes from every source, but"
                    f" source {name!r} has none of {lacking}: use combine='rows' or 'predictions'."
                )

    def _record_classes(self) -> None:
        if hasattr(self, "estimator_"):
            self.classes_ = self.estimator_.classes_
        else:
            learned = [model.classes_ for model in self.estimators_ if model is not None]
            self.classes_ = np.unique(np.concatenate(learned))

    def _predict_one(self, estimator, X) -> np.ndarray:
        if hasattr(estimator, "predict_proba"):
            return predict_columns(estimator, X, self.classes_)
        name = f"{type(estimator).__name__}.predict(X)"
        votes = encode_labels_like(predict_column(estimator, X), self.classes_, name=name)
        return np.eye(len(self.classes_))[votes]

    def _aggregate(self, X) -> np.ndarray:
        """Probabilities that all sources together predict, shape (n_samples, n_classes)."""
        proba = aggregate_sources(
            self._stack(X), n_faulty=self.n_faulty_, aggregation=self.aggregation
        )
        # Medians of coordinates need not sum to 1. Where all are zero, no class is more likely.
        total = proba.sum(axis=1, keepdims=True)
        uniform = np.full_like(proba, 1 / proba.shape[1])
        return np.divide(proba, total, out=uniform, where=total > 0)

    def _losses(self, predicted, data, rows) -> tuple[np.ndarray, np.ndarray, float]:
        """Whether given labels differ from predicted classes; strata are these classes."""
        known = encode_labels_like(self.classes_, data.classes, name="classes_")
        guess, given = known[predicted.argmax(axis=1)], data.y[rows]
        return np.where(given < 0, np.nan, guess != given), guess, 0.0

    def _decide(self, predicted) -> np.ndarray:
        return self.classes_[predicted.argmax(axis=1)]

    @available_if(estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Predict probabilities of classes by the one classifier, or by those of all sources.

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
        return super().predict_proba(X) if hasattr(self, "estimator_") else self._aggregate(X)

    @available_if(estimator_has("predict_proba"))
    def predict_log_proba(self, X):
        """Predict logarithms of probabilities of classes.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        with np.errstate(divide="ignore"):  # the logarithm of zero is minus infinity
            return np.log(self.predict_proba(X))

    @available_if(_has_decision_function)
    def decision_function(self, X):
        """Compute the decision function of the one classifier.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            As of the classifier.
        """
        return super().decision_function(X)
