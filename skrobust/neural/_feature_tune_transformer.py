"""Frozen features, tuned for whatever classifier comes next."""

from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skrobust.neural._feature_tune_classifier import FeatureTuneClassifier
from skrobust.utils._sklearn import Features, fit_context


class FeatureTuneTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Tune frozen features of an encoder on noisy labels, for the classifier that comes next.

    .. versionadded:: 0.1

    Parameters
    ----------
    classifier : FeatureTuneClassifier, default=None
        What tunes them, cloned. None is one with its default parameters.
    random_state : int, RandomState instance or None, default=None
        If not None, the seed of the classifier.

    Attributes
    ----------
    classifier_ : FeatureTuneClassifier
        Fitted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    FeatureTuneClassifier : What it is about, and the publication.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skrobust.neural import FeatureTuneClassifier, FeatureTuneTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> tune = FeatureTuneTransformer(FeatureTuneClassifier(max_epochs=5), random_state=0)
    >>> model = make_pipeline(tune, LogisticRegression(max_iter=1000)).fit(X / 16, y)
    >>> bool(model.score(X / 16, y) > 0.95)
    True
    """

    _parameter_constraints: dict = {
        "classifier": [FeatureTuneClassifier, None],
        "random_state": ["random_state"],
    }

    def __init__(self, classifier=None, *, random_state=None):
        self.classifier = classifier
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        """Tune the features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Given labels.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            Fitted transformer.
        """
        classifier = FeatureTuneClassifier() if self.classifier is None else clone(self.classifier)
        if self.random_state is not None:
            classifier.set_params(random_state=self.random_state)
        self.classifier_ = classifier.fit(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        Features(X).record(self)
        return self

    def transform(self, X):
        """Compute the tuned features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        tuned : ndarray of shape (n_samples, n_features)
            Features.
        """
        check_is_fitted(self)
        return self.classifier_.transform(X)

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_
