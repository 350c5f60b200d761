"""From evidence to a detection result, and the base classes of detectors that collect evidence.

Detectors share the steps of :func:`detect_from`: a score, a rule, and corrections by the noise
model.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from skrobust.base import DetectionResult, LabelErrorDetector, LabelledData
from skrobust.detection._rules import FittedRule, check_rule, fit_rule
from skrobust.detection._scores import check_score, score_labels
from skrobust.detection._verified_label_model import calibrate_on_verified
from skrobust.evidence import Evidence
from skrobust.evidence._out_of_fold import ProbaSource
from skrobust.noise._confident_joint import label_proba, mean_self_confidence
from skrobust.noise._noise_model import estimate_noise_rate, fit_noise_model
from skrobust.utils._parallel import row_blocks


def detect_from(
    data: LabelledData,
    evidence: Evidence,
    *,
    score: str | Callable[..., np.ndarray] = "self_confidence",
    rule: str = "prune_by_noise_rate",
) -> DetectionResult:
    """Score and flag labels by out-of-sample predictions that were collected already.

    The detectors of this package are recipes of this form: a producer of evidence, a score and a
    rule.

    .. versionadded:: 0.1

    Parameters
    ----------
    data : LabelledData
        Labelled rows, as of :meth:`skrobust.base.LabelledData.from_arrays`.
    evidence : Evidence
        Out-of-sample predictions of these rows.
    score : str or callable, default="self_confidence"
        Quality of labels, in [0, 1]: a method of :func:`label_quality_scores` other than "margin",
        or a function that takes encoded labels of shape (n_samples,) and probabilities of shape
        (n_samples, n_classes) and returns qualities of shape (n_samples,).
    rule : str, default="prune_by_noise_rate"
        Which rows are flagged; see :func:`find_label_errors`.

    Returns
    -------
    result : DetectionResult
        Quality, flags, suggestions, confident joint and noise rate. Quality is NaN where there is
        no label or no prediction.

    Raises
    ------
    ValueError
        If `score` or `rule` is unknown, or the evidence belongs to other rows.

    See Also
    --------
    ConfidentLearning : The detector with the same scores and rules.
    skrobust.evidence.OutOfFold : A producer of evidence.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.base import LabelledData
    >>> from skrobust.detection import detect_from
    >>> from skrobust.evidence import OutOfFold
    >>> X, y = load_iris(return_X_y=True)
    >>> y[0] = 2
    >>> data = LabelledData.from_arrays(X, y)
    >>> result = detect_from(data, OutOfFold(GaussianNB()).collect(data))
    >>> bool(result.errors[0])
    True
    """
    check_rule(rule)
    if not callable(score):
        check_score(score, "score")
        if score == "margin":
            raise ValueError('score="margin" is not in [0, 1]: use "normalized_margin".')
    if len(evidence.pred_proba) != data.n_samples:
        raise ValueError(
            f"The evidence has {len(evidence.pred_proba)} rows, but data has {data.n_samples}."
        )
    fitted, errors = flag_by_rule(data, evidence, rule)
    return complete_result(
        data,
        evidence,
        fitted.order,
        quality_by(evidence, score),
        errors,
        joint=fitted.weighted_joint,
        threshold=fitted.scalar_threshold(score),
        pred_proba=evidence.filled,
    )


def given_labels(data, evidence: Evidence) -> np.ndarray:
    """Given labels; -1 for rows without a label or a prediction."""
    return np.where(evidence.mask, data.y, -1)


def confident_thresholds_of(data, evidence: Evidence, rows=None) -> np.ndarray:
    """Mean self-confidence by class, of rows that are learned from."""
    counted = data.used & (given_labels(data, evidence) >= 0)
    counted = counted if rows is None else counted & rows
    return mean_self_confidence(
        np.where(counted, data.y_train, -1), evidence.filled, data.sample_weight
    )


def flag_by_rule(
    data, evidence: Evidence, rule: str, *, thresholds=None, rows=None, joint=None, limits=None
) -> tuple[FittedRule, np.ndarray]:
    """Fit a rule to the rows that count and are not verified, and flag all rows."""
    given, proba = given_labels(data, evidence), evidence.filled
    if thresholds is None:
        thresholds = confident_thresholds_of(data, evidence, rows)
    counted = data.used & (data.verified < 0)
    counted = counted if rows is None else counted & rows
    unverified = np.where(counted, given, -1)
    fitted, errors = fit_rule(
        rule,
        unverified,
        proba,
        weight=data.sample_weight,
        thresholds=thresholds,
        # Ties between classes are broken by their thresholds, not by their names.
        order=np.argsort(thresholds, kind="stable"),
        joint=joint,
        limits=limits,
    )
    others = np.flatnonzero((given >= 0) & (unverified < 0))
    if len(others):
        errors[others] = fitted.flag(given[others], proba[others])
    return fitted, errors


def quality_by(evidence: Evidence, score: str | Callable) -> Callable:
    """Function of encoded labels that returns their quality, NaN without a prediction."""

    def quality_of(codes):
        quality = score_labels(score, np.maximum(codes, 0), evidence.filled)
        return np.where(evidence.mask, quality, np.nan)

    return quality_of


def complete_result(
    data,
    evidence: Evidence,
    order: np.ndarray,
    quality_of: Callable,
    errors: np.ndarray,
    /,
    **parts,
) -> DetectionResult:
    """Complete a result with suggestions, the noise rate, and corrections by the noise model."""
    given, proba, mask = given_labels(data, evidence), evidence.filled, evidence.mask
    level = estimate_noise_rate(np.where(data.used, given, -1), proba, data.sample_weight)
    labels, right = conservative_labels(level, data, given, proba, order)
    predictions = np.where(mask, most_probable(proba, order), data.y_train)
    alternatives = most_probable(proba, order, without=given)
    found = {
        "quality_of": quality_of,
        "level": level,
        "corrections": np.where(given >= 0, labels, predictions),
        "right_proba": right,
    }
    return DetectionResult(
        quality_of(data.y),
        errors,
        predictions,
        np.where(mask, alternatives, data.y_train),
        **{**found, **parts},
    )


def conservative_labels(
    level, data, given: np.ndarray, pred_proba: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Most probable labels with less noise than estimated, and P(given label is right)."""
    model = fit_noise_model(
        np.where(data.used, given, -1),
        pred_proba,
        data.sample_weight,
        level=level,
        verified=data.verified,
    )
    right = label_proba(np.maximum(given, 0), model.right_proba(model.invert(pred_proba)))
    reduced = model.scaled(level.correction_rate / max(level.rate, 1e-12))
    posterior = reduced.posterior(reduced.invert(pred_proba), given)
    return most_probable(posterior, order), right


def most_probable(
    pred_proba: np.ndarray, order: np.ndarray | None = None, *, without: np.ndarray | None = None
) -> np.ndarray:
    """Most probable class of each row, ties broken by `order`, with one class left out."""
    n_classes = pred_proba.shape[1]
    order = np.arange(n_classes) if order is None else order
    best = np.empty(len(pred_proba), dtype=np.intp)
    place = np.empty(n_classes, dtype=np.intp)
    place[order] = np.arange(n_classes)

    for some in row_blocks(len(pred_proba), 8 * n_classes):
        block = pred_proba[some, order]
        if without is not None:
            rows = np.flatnonzero(without[some] >= 0)
            block[rows, place[without[some][rows]]] = -np.inf
        best[some] = order[block.argmax(axis=1)]
    return best


class EvidenceDetector(LabelErrorDetector):
    """Base class of detectors with the parameter `store_estimators`."""

    # Where enough labels are verified, `LabelErrorDetector` replaces the quality by this.
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
