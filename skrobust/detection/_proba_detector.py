"""Detectors that look at class probabilities: how they get them, what they have in common."""

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skrobust._base import LabelErrorDetector
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._out_of_bag import default_forest, gather_out_of_bag, gives_out_of_bag
from skrobust.evidence._out_of_fold import gather_out_of_fold, predict_columns
from skrobust.utils._blocks import for_each_block
from skrobust.utils._random import draw_seed, private_random_state, set_missing_random_states
from skrobust.utils._rows import check_numeric
from skrobust.utils._sklearn import HasMethods, routing_enabled
from skrobust.utils._weights import weight_fit_params


class ProbaDetector(LabelErrorDetector):
    """Base class of detectors that look at the probabilities of one classifier.

    The constructor of a subclass has the parameters `estimator`, `cv`, `store_estimators`,
    `n_jobs` and `random_state`, and ``_judge(data)`` begins with ``self._gather(data)``.
    """

    _parameter_constraints: dict = {
        **LabelErrorDetector._parameter_constraints,
        "estimator": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
        "store_estimators": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def _get_estimator(self):
        """The model that supplies evidence."""
        return default_forest() if self.estimator is None else self.estimator

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_estimator())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags

    def get_metadata_routing(self):
        """Say which metadata this detector and its parts take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self._get_estimator(), method_mapping=mapping)
        )

    def _gather(self, data) -> Evidence:
        """Gather the evidence: one fit of a forest, or one fit per fold."""
        random_state = private_random_state(self.random_state)
        common = (data.X, data.best_codes, data.classes, data.used)
        forest = self.estimator is None or gives_out_of_bag(self.estimator)
        if forest:
            check_numeric(
                data.X,
                f"{type(self).__name__} without an estimator of another kind looks at a forest."
                " Pass an estimator that takes X as it is, such as a Pipeline that encodes it"
                " first.",
            )
        # A tree is out of the bag of a whole group next to never, so that groups need folds.
        if forest and data.groups is None:
            evidence = gather_out_of_bag(
                self.estimator,
                *common,
                sample_weight=data.sample_weight,
                n_jobs=self.n_jobs,
                random_state=random_state,
            )
            return self._keep_models(evidence)
        if self.estimator is None:
            estimator = default_forest(random_state=draw_seed(random_state))
        else:
            estimator = clone(self.estimator)
            if forest:
                estimator.set_params(oob_score=False)
            set_missing_random_states(estimator, random_state)
        weight, fit_params = self._route(estimator, data)
        evidence = gather_out_of_fold(
            estimator,
            *common,
            cv=self.cv,
            sample_weight=weight,
            groups=data.groups,
            fit_params=fit_params,
            n_jobs=self.n_jobs,
        )
        return self._keep_models(evidence)

    def _route(self, estimator, data) -> tuple[np.ndarray | None, dict | None]:
        """Work out the weights and the other keywords that ``fit`` of the estimator is given."""
        weight = data.sample_weight
        if not routing_enabled() or self.estimator is None:
            return weight, None
        weight_fit_params(estimator, weight)  # to decline weights is fine, to take none is not
        metadata = {"sample_weight": weight, "groups": data.groups}
        metadata = {key: value for key, value in metadata.items() if value is not None}
        routed = process_routing(self, "fit", **metadata)
        fit_params = dict(routed["estimator"]["fit"])
        return fit_params.pop("sample_weight", None), fit_params

    def gather_proba(self, data) -> np.ndarray:
        """Gather out-of-sample probabilities only, for a detector that looks at several."""
        return self._gather(data).pred_proba

    def predict_proba_of(self, X, classes) -> np.ndarray:
        """Predict the probabilities of new rows by the models that were kept."""
        self.classes_ = classes
        return self._predict_mean(X)

    def _keep_models(self, evidence: Evidence) -> Evidence:
        vars(self).pop("estimators_", None)
        if self.store_estimators:
            self.estimators_ = evidence.estimators
        return evidence

    def _predict_mean(self, X) -> np.ndarray:
        """Predict the probabilities of new rows by the models that were kept."""
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                "The models that judge new rows were not kept: fit with store_estimators=True."
            )
        models = self.estimators_
        return sum(predict_columns(model, X, self.classes_) for model in models) / len(models)


def most_probable(pred_proba, order=None, *, without=None) -> np.ndarray:
    """Find the most probable class of each row.

    Parameters
    ----------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities, or anything else of which the largest is wanted.
    order : ndarray of shape (n_classes,), default=None
        The order of classes in which the first of equal ones is taken, so that it need not
        depend on their names.
    without : ndarray of shape (n_samples,), default=None
        A class that is left out in each row; -1 leaves out none.

    Returns
    -------
    best : ndarray of shape (n_samples,), dtype intp
        Classes.
    """
    n_classes = pred_proba.shape[1]
    order = np.arange(n_classes) if order is None else order
    best = np.empty(len(pred_proba), dtype=np.intp)
    place = np.empty(n_classes, dtype=np.intp)
    place[order] = np.arange(n_classes)

    def find(start: int, stop: int) -> None:
        block = pred_proba[start:stop, order]
        if without is not None:
            rows = np.flatnonzero(without[start:stop] >= 0)
            block[rows, place[without[start:stop][rows]]] = -np.inf
        best[start:stop] = order[block.argmax(axis=1)]

    for_each_block(find, len(pred_proba), 8 * n_classes)
    return best
