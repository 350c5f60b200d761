"""Out-of-sample predictions of a data set, as one immutable value."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from skrobust.base._labels import encode_labels_like
from skrobust.base._pred_proba import SUM_TOLERANCE


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """Out-of-sample predictions of the rows of a data set, and the models that predict new rows.

    Made by the ``collect(data)`` method of a producer: :class:`OutOfFold`, :class:`OutOfBag`,
    :class:`Neighbors`, :class:`Stages` or :class:`Mixture`. A detector combines one of these
    with a score and a rule.

    .. versionadded:: 0.1

    Parameters
    ----------
    pred_proba : array-like of shape (n_samples, n_classes)
        Probabilities in [0, 1] of models that did not learn from the row. Rows without any
        prediction are NaN, all others sum to 1. Kept as a read-only array.
    classes : ndarray of shape (n_classes,)
        Label of each column.
    models : sequence of fitted classifiers, default=()
        The models, whose mean probability predicts new rows.
    statistics : dict of str to ndarray of shape (n_samples, ...), default={}
        Further out-of-sample statistics by name, such as those of training stages.
    graph : object, default=None
        Nearest neighbours of the rows, where they were searched.
    parts : sequence of Evidence, default=()
        Components of a mixture.
    weights : array-like of shape (n_parts,), default=()
        Mixture weights of the parts; they sum to 1.

    Attributes
    ----------
    mask : ndarray of shape (n_samples,) of bool
        Rows that have a prediction.
    filled : ndarray of shape (n_samples, n_classes)
        `pred_proba` with equal probabilities in rows that have no prediction.

    Raises
    ------
    ValueError
        If shapes do not match, or entries are infinite, negative, or do not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.evidence import Evidence
    >>> evidence = Evidence([[0.9, 0.1], [np.nan, np.nan]], np.array(["cat", "dog"]))
    >>> evidence.mask
    array([ True, False])
    >>> evidence.filled
    array([[0.9, 0.1],
           [0.5, 0.5]])
    """

    pred_proba: np.ndarray
    classes: np.ndarray
    models: tuple[Any, ...] = ()
    statistics: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    graph: Any = None
    parts: tuple["Evidence", ...] = ()
    weights: np.ndarray = ()

    def __post_init__(self) -> None:
        proba = np.asarray(self.pred_proba)
        proba = (proba if proba.dtype.kind == "f" else proba.astype(np.float64)).view()
        if proba.ndim != 2 or proba.shape[1] != len(self.classes):
            raise ValueError(
                f"pred_proba must have a column for each of {len(self.classes)} classes, got shape"
                f" {proba.shape}."
            )
        known = proba[~np.isnan(proba[:, 0])]
        if not (known >= 0).all() or not np.isfinite(known).all():
            raise ValueError("pred_proba must be finite and not negative in rows that are not NaN.")
        sums = known.sum(axis=1)
        if len(sums) and np.abs(sums - 1).max() > SUM_TOLERANCE:
            worst = sums[np.abs(sums - 1).argmax()]
            raise ValueError(f"Rows of pred_proba must sum to 1; one of them sums to {worst:.6g}.")
        for name, values in self.statistics.items():
            if len(values) != len(proba):
                raise ValueError(
                    f"statistics[{name!r}] has {len(values)} entries for {len(proba)} rows."
                )
        if len(self.parts) != len(self.weights):
            raise ValueError(f"{len(self.parts)} parts have {len(self.weights)} weights.")
        proba.flags.writeable = False
        object.__setattr__(self, "pred_proba", proba)
        object.__setattr__(self, "models", tuple(self.models))
        object.__setattr__(self, "parts", tuple(self.parts))

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """Rows that have a prediction."""
        return ~np.isnan(self.pred_proba[:, 0])

    @functools.cached_property
    def filled(self) -> np.ndarray:
        """Probabilities, equal for all classes in rows that have no prediction."""
        if self.mask.all():
            return self.pred_proba
        return np.where(self.mask[:, None], self.pred_proba, 1 / len(self.classes))

    def without_rows(self) -> "Evidence":
        """Drop what is known about the rows, and keep what predicts new ones.

        Returns
        -------
        evidence : Evidence
            The same models, without rows.
        """
        parts = tuple(part.without_rows() for part in self.parts)
        return Evidence(
            self.pred_proba[:0], self.classes, self.models, parts=parts, weights=self.weights
        )

    def without_models(self) -> "Evidence":
        """Drop the models, and keep what is known about the rows.

        Returns
        -------
        evidence : Evidence
            The same rows, without models.
        """
        parts = tuple(part.without_models() for part in self.parts)
        return dataclasses.replace(self, models=(), parts=parts)

    def as_part(self, *, keep_models: bool) -> "Evidence":
        """Reduce to what a mixture holds of each of its parts.

        Parameters
        ----------
        keep_models : bool
            Whether the models are kept.

        Returns
        -------
        evidence : Evidence
            The same predictions in single precision: they are no more precise.
        """
        changed: dict[str, Any] = {"pred_proba": self.pred_proba.astype(np.float32)}
        if not keep_models:
            changed["models"] = ()
            changed["parts"] = tuple(part.without_models() for part in self.parts)
        return dataclasses.replace(self, **changed)

    def predict(self, X: Any) -> np.ndarray:
        """Predict class probabilities of new rows.

        Parameters
        ----------
        X : array-like of length n_samples
            Rows that took no part in the fits.

        Returns
        -------
        pred_proba : ndarray of shape (n_samples, n_classes)
            Mean over the models, or weighted mean over the parts of a mixture.

        Raises
        ------
        AttributeError
            If there is no model.
        """
        if self.parts:
            pairs = zip(self.weights, self.parts, strict=True)
            return sum(weight * part.predict(X) for weight, part in pairs if weight > 0)
        if not self.models:
            raise AttributeError("This evidence has no models to predict new rows with.")
        return sum(predict_columns(m, X, self.classes) for m in self.models) / len(self.models)


def check_predicts_proba(estimator) -> None:
    """Refuse an estimator without ``predict_proba``."""
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"{type(estimator).__name__} has no predict_proba, so it cannot predict how likely a"
            " label is. Use a classifier that has, or wrap it in CalibratedClassifierCV."
        )


def predict_columns(estimator, X, classes: np.ndarray) -> np.ndarray:
    """Predict probabilities, one column for each of `classes`, zero where a model lacks one."""
    proba = np.asarray(estimator.predict_proba(X))
    own = np.asarray(estimator.classes_)
    name = type(estimator).__name__
    if proba.ndim != 2 or proba.shape[1] != len(own):
        raise ValueError(
            f"{name}.predict_proba returned shape {proba.shape} for {len(own)} classes."
        )
    if proba.dtype.kind != "f":
        proba = proba.astype(np.float64)
    if not np.isfinite(proba).all() or proba.min(initial=0) < 0:
        raise ValueError(f"{name}.predict_proba returned NaN, infinite or negative entries.")
    return align_columns(proba, own, classes, name)


def align_columns(proba: np.ndarray, own: np.ndarray, classes: np.ndarray, name: str):
    """Give probabilities a column for each of `classes`, zero where a model lacks one."""
    if np.array_equal(own, classes):
        return proba
    aligned = np.zeros((len(proba), len(classes)), dtype=proba.dtype)
    aligned[:, encode_labels_like(own, classes, name=f"{name}.classes_")] = proba
    return aligned
