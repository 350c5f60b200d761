"""A classifier on frozen features of an encoder that was itself trained on noisy labels."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._feature_tune import FeatureTuneNet, TunedFeatures
from skrobust.neural._shared_parameters import OF_THE_NETWORK, shares_parameters
from skrobust.utils._sklearn import Interval

# Norms over a batch, which look at rows whatever their weights, undo much of what weights do.
_WITHOUT = (*OF_THE_NETWORK, "class_weight")


@shares_parameters(
    without=_WITHOUT,
    max_epochs=30,
    learning_rate_schedule="cosine",
    optimizer="adamw",
    weight_decay=1e-4,
)
class FeatureTuneClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseNeuralClassifier
):
    """Classify frozen features of any encoder, tuned so that its own label noise does less harm.

    Encoders that were trained on noisy labels spread what they know over many weak directions,
    and cannot be trained again by everybody. Here a small network adds something to their
    features: such that classes can be read off linearly, features stay close to what they were,
    do not repeat each other, and few directions dominate. Also a transformer, of the tuned
    features.

    .. versionadded:: 0.1

    Parameters
    ----------
    expansion : int, default=4
        The hidden layer of the small network has so many times as many units as there are
        features.
    closeness : float, default=1.0
        Weight of the distance between features before and after, not negative.
    decorrelation : float, default=0.04
        Weight of the squared covariances of different features, not negative.
    spectrum : float, default=0.001
        Weight of the share that the five largest singular values have, not negative.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s

    See Also
    --------
    FeatureTuneTransformer : Only the features.
    NeuralClassifier : A network of any shape.

    Notes
    -----
    With all three weights 0 it is a plain network with a residual connection. The published
    figures are those of image and text encoders, trained for 30 epochs in batches of 64.

    References
    ----------
    Chen, Wang, Wang, Tao, Wei, Wang, Xie and Raj (2024). Understanding and mitigating the label
    noise in pre-training on downstream tasks. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrobust.neural import FeatureTuneClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = FeatureTuneClassifier(max_epochs=5, random_state=0).fit(X / 16, y)
    >>> model.transform(X / 16).shape
    (1797, 64)
    >>> bool(model.score(X / 16, y) > 0.9)
    True
    """

    _net_class = FeatureTuneNet

    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in BaseNeuralClassifier._parameter_constraints.items()
            if name not in _WITHOUT
        },
        "expansion": [Interval(Integral, 1, None, closed="left")],
        "closeness": [Interval(Real, 0, None, closed="left")],
        "decorrelation": [Interval(Real, 0, None, closed="left")],
        "spectrum": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        expansion=4,
        closeness=1.0,
        decorrelation=0.04,
        spectrum=0.001,
    ):
        self.expansion = expansion
        self.closeness = closeness
        self.decorrelation = decorrelation
        self.spectrum = spectrum

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # what the network computes in
        return tags

    def _build_module(self, shape, n_classes):
        return TunedFeatures(shape, n_classes, expansion=self.expansion)

    def _net_options(self):
        names = ("closeness", "decorrelation", "spectrum")
        return {**super()._net_options(), **{name: getattr(self, name) for name in names}}

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

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
        rows = self._rows_to_predict(X)
        tuned = self.net_.predict_logits(rows, lambda x: self.module_.features(x))
        return tuned.numpy().astype(np.dtype(self.dtype), copy=False)
