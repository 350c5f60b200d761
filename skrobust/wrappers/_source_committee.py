"""Models of several sources as one: aggregated predictions, or aggregated coefficients."""

import copy

import numpy as np
from sklearn.utils.metaestimators import available_if

from skrobust.base._labels import encode_labels_like
from skrobust.evidence._evidence import predict_columns
from skrobust.utils._input import predict_column
from skrobust.utils._parallel import delayed, stream
from skrobust.wrappers._aggregation import aggregate_sources

# Modules of scikit-learn, and of this package, whose models keep no coefficients of their own.
_WITHOUT_COEFFICIENTS = frozenset(
    "skrobust.wrappers sklearn.calibration sklearn.compose sklearn.dummy sklearn.ensemble"
    " sklearn.gaussian_process sklearn.kernel_ridge sklearn.model_selection sklearn.multiclass"
    " sklearn.multioutput sklearn.naive_bayes sklearn.neighbors sklearn.neural_network"
    " sklearn.pipeline sklearn.semi_supervised sklearn.tree".split()
)


class RegressorCommittee:
    """Regressors whose predictions are aggregated for each row."""

    def __init__(self, estimators, classes=None, *, n_faulty, aggregation, n_jobs):
        self.estimators = estimators
        self.classes = classes
        self.n_faulty = n_faulty
        self.aggregation = aggregation
        self.n_jobs = n_jobs

    def predict(self, X) -> np.ndarray:
        """Predict aggregated targets."""
        return self.aggregate(X)[:, 0]

    def aggregate(self, X) -> np.ndarray:
        """Aggregate the predictions of all models, shape (n_samples, n_columns)."""
        calls = (delayed(self._predict_one)(model, X) for model in self.estimators)
        predicted = np.stack(list(stream(calls, n_jobs=self.n_jobs, require="sharedmem")))
        return aggregate_sources(predicted, n_faulty=self.n_faulty, aggregation=self.aggregation)

    def _predict_one(self, estimator, X) -> np.ndarray:
        return np.reshape(estimator.predict(X), (-1, 1))


class ClassifierCommittee(RegressorCommittee):
    """Classifiers whose probabilities, or votes without ``predict_proba``, are aggregated."""

    def predict(self, X) -> np.ndarray:
        """Predict the class of the highest aggregated probability."""
        return self.classes[self.aggregate(X).argmax(axis=1)]

    @available_if(lambda self: hasattr(self.estimators[0], "predict_proba"))
    def predict_proba(self, X) -> np.ndarray:
        """Predict aggregated probabilities."""
        return self.aggregate(X)

    def aggregate(self, X) -> np.ndarray:
        """Aggregate the probabilities of all models, shape (n_samples, n_classes)."""
        proba = super().aggregate(X)
        # Medians of coordinates need not sum to 1. Where all are zero, no class is more likely.
        total = proba.sum(axis=1, keepdims=True)
        uniform = np.full_like(proba, 1 / proba.shape[1])
        return np.divide(proba, total, out=uniform, where=total > 0)

    def _predict_one(self, estimator, X) -> np.ndarray:
        if hasattr(estimator, "predict_proba"):
            return predict_columns(estimator, X, self.classes)
        name = f"{type(estimator).__name__}.predict(X)"
        votes = encode_labels_like(predict_column(estimator, X), self.classes, name=name)
        return np.eye(len(self.classes))[votes]


def average_coefficients(models: list, *, n_faulty: int, aggregation: str):
    """Make a linear model whose coefficients are aggregates of those of several models."""
    model = copy.deepcopy(models[0])
    vectors = np.stack(
        [np.concatenate([np.ravel(m.coef_), np.ravel(m.intercept_)]) for m in models]
    )
    mean = aggregate_sources(vectors, n_faulty=n_faulty, aggregation=aggregation)
    n_coefficients = np.size(model.coef_)
    model.coef_ = mean[:n_coefficients].reshape(np.shape(model.coef_))
    intercept = mean[n_coefficients:].reshape(np.shape(model.intercept_))
    model.intercept_ = intercept if intercept.ndim else intercept.item()
    return model


def check_has_coefficients(model, *, fitted: bool) -> None:
    """Refuse a model that keeps no coefficients; before it is fitted, if it is known to."""
    if fitted:
        lacks = not {"coef_", "intercept_"} <= vars(model).keys()
    else:
        cls = type(model)
        modules = {".".join(base.__module__.split(".")[:2]) for base in cls.__mro__}
        # What is computed on demand, as by kernel machines, cannot be replaced by an aggregate.
        computed = isinstance(getattr(cls, "coef_", None), property)
        lacks = computed or not modules.isdisjoint(_WITHOUT_COEFFICIENTS)
    if lacks:
        raise TypeError(
            f"combine='coefficients' needs a linear model that keeps coef_ and intercept_, which"
            f" {type(model).__name__} is not: use combine='rows' or 'predictions'."
        )
