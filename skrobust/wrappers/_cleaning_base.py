"""What the wrappers that clean before they train have in common."""

import warnings
from numbers import Integral

from sklearn.base import clone

from skrobust.utils._argument_names import explain_names
from skrobust.utils._cached_fit import cached_fit
from skrobust.utils._propagate import propagate_params
from skrobust.utils._sklearn import (
    Features,
    HasMethods,
    StrOptions,
    raise_for_params,
)
from skrobust.utils._warnings import LabelNoiseWarning
from skrobust.wrappers._wrapper_base import BaseWrapper


class BaseCleaning(BaseWrapper):
    """Base class of the wrappers that find errors, deal with them and train on the result.

    A subclass writes ``_default_estimator()``, ``_default_detector()`` (what the tags say if
    nothing is known of X), ``_make_detector(X)``, and
    ``_clean(data, detector, weigh)``, where `weigh` says whether weights may be handed out.
    """

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        "detector": [HasMethods(["fit"]), None],
        "action": [StrOptions({"drop", "relabel", "reweight"})],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "memory": [str, HasMethods(["cache"]), None],
    }

    @explain_names
    def __init__(
        self,
        estimator=None,
        detector=None,
        *,
        action="drop",
        cv=None,
        n_jobs=None,
        random_state=None,
        memory=None,
    ):
        self.estimator = estimator
        self.detector = detector
        self.action = action
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory

    def _helpers(self):
        return [self._default_detector() if self.detector is None else self.detector]

    def _configure(self, detector):
        """Hand the parameters that were given to this wrapper on to a detector."""
        return propagate_params(detector, cv=self.cv, random_state=self.random_state)

    def _fit(self, data, y, verified_labels, params, detector=None):
        """Find the errors, deal with them and train the model.

        Parameters
        ----------
        data : LabelledData
            What ``fit`` was given, validated.
        y, verified_labels : array-like
            The same as they came, for the detector.
        params : dict
            More metadata.
        detector : detector, default=None
            Fitted one; None fits that of this wrapper.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        raise_for_params(params, self, "fit")
        features = Features(data.X)
        estimator = clone(self._get_estimator())
        needs_weight = self.action == "reweight"
        fit_params = self._route(estimator, data, params, needs_weight=needs_weight)
        needs_weight = needs_weight or self._may_weigh(estimator, data, fit_params)
        if detector is None:
            detector = self._find_errors(data, y, verified_labels)
        if getattr(detector, "reliability_", None) == "cannot tell":
            warnings.warn(
                f"{type(detector).__name__} cannot tell wrong labels apart from overlap of the"
                f" classes: {detector.reliability_reason_}. Verify a few dozen labels"
                " (`suggest_verification`), or compare with training without cleaning"
                " (`only_if_better=True`).",
                LabelNoiseWarning,
                stacklevel=4,
            )
        cleaned = self._clean(data, detector, needs_weight)
        cleaned = self._confirm(estimator, data, cleaned, fit_params, detector, needs_weight)
        self._train_cleaned(estimator, data, cleaned, fit_params, needs_weight)
        self.detector_ = detector
        features.record(self)
        return self

    def _train_cleaned(self, estimator, data, cleaned, fit_params, needs_weight) -> None:
        """Train the model on what ``_clean`` or ``_confirm`` made of the rows."""
        rows, targets, weight = cleaned
        weight = None if weight is None else weight[rows]
        self._train(
            estimator, data, rows, targets[rows], weight, fit_params, needs_weight=needs_weight
        )

    def _may_weigh(self, estimator, data, fit_params) -> bool:
        """Whether to hand out weights though `action` can do without."""
        return False

    def _confirm(self, estimator, data, cleaned, fit_params, detector, needs_weight):
        """Decide whether to train on what ``_clean`` made of the rows."""
        return cleaned

    def _find_errors(self, data, y, verified_labels):
        detector = self._make_detector(data.X)
        metadata = {
            "verified_labels": verified_labels,
            "sample_weight": data.sample_weight,
            "groups": data.groups,
        }
        return cached_fit(detector, data.X, y, metadata, n_jobs=self.n_jobs, memory=self.memory)

    def _suggestions(self, detector):
        """What the detector suggests, for ``action="relabel"``."""
        suggested = getattr(detector, "suggested_labels_", None)
        if suggested is None:
            raise ValueError(
                f"action='relabel' needs a detector that suggests labels, which"
                f" {type(detector).__name__} does not: use action='drop' or 'reweight'."
            )
        return suggested
