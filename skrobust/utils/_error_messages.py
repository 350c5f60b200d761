"""Error messages for argument names of cleanlab, and for columns of text in X."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import narwhals.stable.v1 as nw
import numpy as np
from sklearn import get_config

P = ParamSpec("P")
R = TypeVar("R")

# Name in cleanlab: the parameter here, and what to use where the callee has no such parameter.
_NAMES = {
    "labels": ("y", None),
    "given_labels": ("y", None),
    "pred_probs": ("pred_proba", "find_label_errors or CleaningClassifier.fit with pred_proba=..."),
    "predictions": ("y_pred", "find_target_errors with y_pred=..."),
    "label_issues": ("label_errors", "CleaningClassifier.fit with label_errors=..."),
    "filter_by": ("rule", "ConfidentLearning(rule=...)"),
    "return_indices_ranked_by": ("rank_by", "numpy.argsort of label_quality_"),
    "rank_by_kwargs": ("rank_by", "numpy.argsort of label_quality_"),
    "num_to_remove_per_class": ("n_per_class", "ConfidentLearning(n_per_class=...)"),
    "min_examples_per_class": ("min_per_class", "ConfidentLearning(min_per_class=...)"),
    "frac_noise": ("flag_fraction", "ConfidentLearning(flag_fraction=...)"),
    "thresholds": ("confident_thresholds", "find_label_errors with confident_thresholds=..."),
    "multi_label": (None, "find_multilabel_errors"),
    "aggregator_kwargs": (None, "aggregate=... and alpha=..."),
    "find_label_issues_kwargs": (None, "CleaningClassifier(detector=ConfidentLearning(rule=...))"),
    "label_quality_scores_kwargs": (
        None,
        "CleaningClassifier(detector=ConfidentLearning(quality_method=...))",
    ),
    "clf": ("estimator", None),
    "model": ("estimator", None),
    "cv_n_folds": ("cv", None),
    "seed": ("random_state", None),
    "clf_kwargs": (None, "metadata routing, or parameters of the classifier"),
    "clf_final_kwargs": (None, "metadata routing, or parameters of the classifier"),
}


def explain_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let a call with argument names of cleanlab raise a TypeError that names the ones here."""
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    foreign = _NAMES.keys() - parameters.keys()

    @functools.wraps(function)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        names = [name for name in kwargs if name in foreign]
        # With metadata routing, a name that is not known here may belong to a model inside.
        if names and not (takes_any and get_config()["enable_metadata_routing"]):
            _refuse(names, _name_of_callee(function, args), parameters)
        return function(*args, **kwargs)

    return explained


def _name_of_callee(function: Callable, args: tuple) -> str:
    """Name of a function, or of a method with the class of its instance."""
    if "self" not in inspect.signature(function).parameters:
        return function.__name__
    owner = type(args[0]).__name__
    return owner if function.__name__ == "__init__" else f"{owner}.{function.__name__}"


def _refuse(names: list[str], callee: str, parameters: Mapping) -> None:
    """Raise a TypeError with the replacement of each name, where there is one."""
    replacements = []
    for name in names:
        ours, elsewhere = _NAMES[name]
        use = f"{ours}=..." if ours in parameters else elsewhere
        if use is not None:
            replacements.append(f"instead of {name!r} use {use}")
    if replacements:
        raise TypeError(f"{callee}() has no such argument: {'; '.join(replacements)}.")


Fit = TypeVar("Fit", bound=Callable)

_ADVICE = "Columns of X that are not numeric"
_MOST_NAMES = 5


def explain_text(fit: Fit) -> Fit:
    """Let a fit that fails on text name the columns that hold it, and a Pipeline that encodes."""

    @functools.wraps(fit)
    def explained(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return fit(self, X, *args, **kwargs)
        except ValueError as error:
            message = str(error)
            if "could not convert string" not in message or _ADVICE in message:
                raise
            columns = _text_columns(X)
            if not columns:
                raise
            raise ValueError(f"{message}\n{_advice(columns)}") from error

    return explained


def _text_columns(X) -> list:
    """Names or numbers of the columns of a data frame or array that do not hold numbers."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        types = frame.schema.items()
        return [name for name, dtype in types if not dtype.is_numeric() and dtype != nw.Boolean]
    rows = np.asarray(X, dtype=object)
    if rows.ndim != 2:
        return []
    return [j for j, column in enumerate(rows.T) if any(isinstance(cell, str) for cell in column)]


def _advice(columns: list) -> str:
    names = ", ".join(map(repr, columns[:_MOST_NAMES]))
    if len(columns) > _MOST_NAMES:
        names += f" and {len(columns) - _MOST_NAMES} more"
    return (
        f"{_ADVICE}: {names}. Leave them out, or pass a Pipeline that encodes them in place of the"
        " model, such as make_pipeline(make_column_transformer((OneHotEncoder("
        "handle_unknown='ignore'), columns), remainder='passthrough'), model)."
    )
