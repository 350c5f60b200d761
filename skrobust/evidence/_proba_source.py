"""Estimators that look at the probabilities of one classifier: where they get them from."""

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skrobust.evidence._evidence import Evidence
from skrobust.evidence._out_of_bag import default_forest, gather_out_of_bag, gives_out_of_bag
from skrobust.evidence._out_of_fold import gather_out_of_fold
from skrobust.evidence._shared import ask_once
from skrobust.utils._random import draw_seed, private_random_state, set_missing_random_states
from skrobust.utils._rows import check_numeric
from skrobust.utils._sklearn import HasMethods, routing_enabled
from skrobust.utils._weights import weight_fit_params


class ProbaSource:
    """Mixin of estimators that look at the probabilities of one classifier."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
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
        """Say which metadata this estimator and its parts take."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self._get_estimator(), method_mapping=mapping)
        )

    def _gather_evidence(self, data) -> Evidence:
        """Gather the evidence: one fit of a forest, or one fit per fold."""
        return ask_once(self, data, self._ask)

    def _ask(self, data) -> Evidence:
        random_state = private_random_state(self.random_state)
        common = (data.X, data.y_train, data.classes, data.used)
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
            return gather_out_of_bag(
                self.estimator,
                *common,
                sample_weight=data.sample_weight,
                n_jobs=self.n_jobs,
                random_state=random_state,
            )
        if self.estimator is None:
            estimator = default_forest(random_state=draw_seed(random_state))
        else:
            estimator = clone(self.estimator)
            if forest:
                estimator.set_params(oob_score=False)
            set_missing_random_states(estimator, random_state)
        weight, fit_params = self._route(estimator, data)
        return gather_out_of_fold(
            estimator,
            *common,
            hidden=data.hidden,
            cv=self.cv,
            sample_weight=weight,
            groups=data.groups,
            fit_params=fit_params,
            n_jobs=self.n_jobs,
        )

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
