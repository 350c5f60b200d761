"""Where the out-of-sample probabilities of one classifier come from: out of bag, or out of fold."""

from numbers import Integral

from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._out_of_bag import OutOfBag, default_forest, is_out_of_bag_forest
from skrobust.evidence._out_of_fold import OutOfFold
from skrobust.utils._rows import check_numeric
from skrobust.utils._sklearn import HasMethods, Tags, routing_enabled
from skrobust.utils._weights import weight_fit_params


class ProbaSource:
    """Mixin of estimators with `estimator`, `cv`, `n_jobs` and `random_state`.

    It stands before the base class; ``self.collect_evidence(data)`` returns the evidence.
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def _get_estimator(self):
        """Model that supplies the predictions."""
        return default_forest() if self.estimator is None else self.estimator

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_estimator())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that this estimator and its parts take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        return estimator_router(self, self._get_estimator())

    def collect_evidence(self, data: LabelledData) -> Evidence:
        """Collect the out-of-sample probabilities: one fit of a forest, or one fit per fold.

        Parameters
        ----------
        data : LabelledData
            Labelled rows, as of :meth:`skrobust.base.LabelledData.from_arrays`.

        Returns
        -------
        evidence : Evidence
            Probabilities, and the models that predict new rows.
        """
        return proba_source(
            self,
            self.estimator,
            data,
            cv=self.cv,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        ).collect(data)


def proba_source(owner, estimator, data, *, cv, n_jobs=None, random_state=None):
    """Producer of probabilities: out of bag of a forest that asks for it, else out of fold."""
    forest = estimator is None or is_out_of_bag_forest(estimator)
    common = {"n_jobs": n_jobs, "random_state": random_state}
    if forest:
        check_numeric(
            data.X,
            f"{type(owner).__name__} without an estimator of another kind uses a forest. Pass an"
            " estimator that takes X as it is, such as a Pipeline that encodes it first.",
        )
        # A tree is out of the bag of a whole group next to never, so that groups need folds.
        if data.groups is None:
            return OutOfBag(estimator, **common)
    if estimator is None:
        return OutOfFold(default_forest(), cv, **common)
    model = clone(estimator).set_params(oob_score=False) if forest else estimator
    return OutOfFold(model, cv, **route_fit(owner, model, data), **common)


def estimator_router(owner, estimator) -> MetadataRouter:
    """Routing information of an estimator that fits one other."""
    mapping = MethodMapping().add(caller="fit", callee="fit")
    router = MetadataRouter(owner=owner).add_self_request(owner)
    return router.add(estimator=estimator, method_mapping=mapping)


def route_fit(owner, estimator, data) -> dict:
    """Arguments `weighted` and `fit_params` of a producer, by the metadata that are routed."""
    if not routing_enabled():
        return {}
    weight_fit_params(estimator, data.sample_weight)  # to decline weights is no error
    metadata = {"sample_weight": data.sample_weight, "groups": data.groups}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    routed = process_routing(estimator_router(owner, estimator), "fit", **metadata)
    fit_params = dict(routed["estimator"]["fit"])
    weighted = fit_params.pop("sample_weight", None) is not None
    return {"weighted": weighted, "fit_params": fit_params}
