"""The contract of thresholds: from the quality of labels to how many of them are flagged.

A threshold object is given to a detector as its parameter `threshold`. It is a set of parameters
that :func:`sklearn.base.clone` and grid searches understand, and no estimator: it is fitted to
what a detector says, not to X.
"""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod

import numpy as np

from skrobust.utils._sklearn import validate_parameters


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """What a threshold object is asked: which of these rows are to be flagged?

    Attributes
    ----------
    detector : LabelErrorDetector
        The detector that asks; not to be fitted in place.
    data : LabelledData or TargetData
        The rows that it judged: `given`, `checked`, `trusted`, `known_errors`, `used`,
        `sample_weight` and ``mass`` there always are, `codes` and `classes` where labels are
        classes. The entries of an indicator matrix are rows here, one label after the other,
        and the classes of an entry of label k are 2k, not given, and 2k + 1, given.
    judgement : Judgement
        What its method says.
    quality : ndarray of shape (n_samples,)
        Quality of each label by the method alone: verified rows have the quality they would
        have if nobody had looked at them. NaN where the method cannot say. See
        :class:`LabelQualityThreshold` for what is learned from verified rows.
    rows : ndarray of shape (n_samples,) of bool
        Rows that may be flagged: judged, and verified by nobody.
    doubtful_below : float
        Quality below which a label is doubtful by itself: one half where the quality is a
        probability.
    parts : tuple of Question
        The same rows as questions of their own, one after the other, where that is what they
        are: one question of two classes for each label of an indicator matrix.
    noise_rate : tuple of float or None
        Share of wrong labels among `rows` and the ends of its interval, where they are learned
        from verified rows like the quality.
    """

    detector: object
    data: object
    judgement: object
    quality: np.ndarray
    rows: np.ndarray
    doubtful_below: float = 0.5
    parts: tuple[Question, ...] = ()
    noise_rate: tuple[float, float, float] | None = None

    @property
    def has_classes(self) -> bool:
        """Whether labels are classes, not numbers."""
        return hasattr(self.data, "classes")

    @property
    def weight(self) -> np.ndarray | None:
        """Weights of the rows that may be flagged, or None."""
        weight = self.data.sample_weight
        return None if weight is None else weight[self.rows]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What a threshold object says.

    Attributes
    ----------
    errors : ndarray of shape (n_samples,) of bool
        Rows to flag.
    cut : float or None
        The cut of the quality that made them, if there is one: what lies below is flagged.
    quality : ndarray of shape (n_samples,) or None
        Another quality than the one that was asked about, if the threshold knows better.
    noise_rate : float or None
        Share of wrong labels among `rows`, if the threshold estimates it.
    noise_rate_interval : tuple of float or None
        Ends of an interval of that share, if the threshold estimates it.
    """

    errors: np.ndarray
    cut: float | None = None
    quality: np.ndarray | None = None
    noise_rate: float | None = None
    noise_rate_interval: tuple[float, float] | None = None


class LabelQualityThreshold(ABC):
    """Base class of threshold objects.

    A subclass keeps the arguments of its constructor as attributes, lists what they may be in
    `_parameter_constraints`, and writes ``select(question)``. Attributes that end with an
    underscore are what it found out.

    Where `wants_learned_quality` is true, and there are enough verified rows, ``select`` is asked
    about the probability of being right that is learned from them, each verified row judged
    without its own verdict, instead of the quality by the detector's method alone. Detectors of
    wrong numbers or indicators learn no such probability.

    Where `needs_classes` is true, detectors of wrong numbers refuse the threshold before any work.

    .. versionadded:: 0.1
    """

    wants_learned_quality = False
    needs_classes = False

    _parameter_constraints: dict = {}

    @classmethod
    def _names(cls) -> list[str]:
        if cls.__init__ is object.__init__:
            return []
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep=True) -> dict:
        """Get the parameters of this threshold.

        Parameters
        ----------
        deep : bool, default=True
            Whether the parameters of parts are wanted as well.

        Returns
        -------
        params : dict
            Parameters by name.
        """
        params = {name: getattr(self, name) for name in self._names()}
        if deep:
            for name, value in list(params.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    inner = value.get_params()
                    params.update({f"{name}__{key}": val for key, val in inner.items()})
        return params

    def set_params(self, **params):
        """Set parameters of this threshold.

        Parameters
        ----------
        **params : dict
            Parameters by name, those of parts as ``part__name``.

        Returns
        -------
        self : object
            This threshold.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        nested: dict = {}
        for key, value in params.items():
            name, _, inner = key.partition("__")
            if name not in self._names():
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has"
                    f" {', '.join(self._names()) or 'none'}."
                )
            if inner:
                nested.setdefault(name, {})[inner] = value
            else:
                setattr(self, name, value)
        for name, inner in nested.items():
            getattr(self, name).set_params(**inner)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name in self._names()
            if repr(getattr(self, name)) != repr(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def validate(self) -> None:
        """Refuse bad values of parameters.

        Raises
        ------
        ValueError, TypeError
            As scikit-learn's estimators raise them.
        """
        validate_parameters(
            self._parameter_constraints, self.get_params(deep=False), type(self).__name__
        )

    @abstractmethod
    def select(self, question: Question) -> Answer:
        """Choose the rows to flag, and remember what was found out on the way.

        Parameters
        ----------
        question : Question
            What the detector says.

        Returns
        -------
        answer : Answer
            The rows to flag.
        """

    def flag_new(self, quality: np.ndarray, codes: np.ndarray) -> np.ndarray | None:
        """Flag new rows by the cuts that :meth:`select` found.

        Parameters
        ----------
        quality : ndarray of shape (n_samples,)
            Quality after :meth:`recalibrate`; NaN where the label is missing.
        codes : ndarray of shape (n_samples,)
            Given labels; -1 where missing. Numeric targets are all 0.

        Returns
        -------
        errors : ndarray of shape (n_samples,) of bool, or None
            Rows to flag. None leaves it to the cut of :class:`Answer`, and without one to the
            rule of the detector.
        """
        return None

    def recalibrate(self, quality: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Give the quality of new rows the meaning that it had in :meth:`select`.

        Parameters
        ----------
        quality : ndarray of shape (n_samples,)
            Quality by the detector's method alone.
        codes : ndarray of shape (n_samples,)
            Given labels.

        Returns
        -------
        quality : ndarray of shape (n_samples,)
            The same, unless :meth:`select` answers with another quality.
        """
        return quality


def judge_new_labels(threshold, cut, quality, codes, own_errors) -> tuple[np.ndarray, np.ndarray]:
    """Turn what a detector's method says of new rows into qualities and flags.

    Parameters
    ----------
    threshold : LabelQualityThreshold or None
        Fitted, if a threshold object was asked for.
    cut : float or None
        The cut of the quality that ``fit`` found.
    quality : ndarray of shape (n_samples,)
        Quality by the method, or as learned from verified rows.
    codes : ndarray of shape (n_samples,)
        Given labels, as of :meth:`LabelQualityThreshold.flag_new`.
    own_errors : ndarray of shape (n_samples,) of bool or None
        What the method's own rule flags, if that may matter.

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        NaN where the label is missing.
    errors : ndarray of shape (n_samples,) of bool
        Rows to flag.
    """
    if threshold is not None:
        quality = threshold.recalibrate(quality, codes)
    quality = np.where(codes < 0, np.nan, quality)
    chosen = None if threshold is None else threshold.flag_new(quality, codes)
    if chosen is None:
        chosen = own_errors if cut is None else quality < cut
    return quality, chosen & (codes >= 0)


def overall_noise_rate(data, rows, rate: float) -> float:
    """Turn the share of wrong labels among some rows into that among these and verified ones.

    Parameters
    ----------
    data : LabelledData or TargetData
        All rows.
    rows : ndarray of shape (n_samples,) of bool
        The rows that nobody verified.
    rate : float
        Share of wrong labels among them.

    Returns
    -------
    rate : float
        Share among those and the rows that a person looked at, which is known exactly.
    """
    left, checked = data.mass(rows), data.mass(data.given & data.checked)
    wrong = rate * left + data.mass(data.known_errors)
    return float(wrong / max(checked + left, 1e-300))
