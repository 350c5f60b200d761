"""Base classes of detectors by evidence, which keep its models to score new rows."""

from typing import Any

from skrobust.base import LabelErrorDetector
from skrobust.detection._verified_label_model import calibrate_on_verified
from skrobust.evidence import Evidence
from skrobust.evidence._proba_source import ProbaSource


class EvidenceDetector(LabelErrorDetector):
    """Base class of detectors with the parameter `store_estimators`."""

    _calibrate = staticmethod(calibrate_on_verified)
    _stored: tuple[Evidence, ...] = ()

    _parameter_constraints: dict = {
        **LabelErrorDetector._parameter_constraints,
        "store_estimators": ["boolean"],
    }

    def _store(self, *evidence: Evidence) -> None:
        """Keep the models of the evidence, if that is asked for."""
        kept = evidence if self.store_estimators else ()
        self._stored = tuple(one.without_rows() for one in kept)

    def _stored_evidence(self) -> tuple[Evidence, ...]:
        """Evidence of which the models were kept."""
        if not self._stored:
            raise AttributeError(
                "The models that score new rows were not kept: fit with store_estimators=True."
            )
        return self._stored

    @property
    def estimators_(self) -> list[Any]:
        """Fitted models."""
        return list(self._stored_evidence()[0].models)


class ProbaDetector(ProbaSource, EvidenceDetector):
    """Base class of detectors by the probabilities of one classifier."""

    _parameter_constraints: dict = {
        **EvidenceDetector._parameter_constraints,
        **ProbaSource._parameter_constraints,
    }
