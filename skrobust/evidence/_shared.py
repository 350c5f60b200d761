"""Asking once what two parts of one estimator want to know."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable

import numpy as np
from sklearn.utils.metadata_routing import get_routing_for_object

from skrobust.evidence._evidence import Evidence

_last_answer = contextvars.ContextVar("last_answer", default=None)


@contextlib.contextmanager
def shared_evidence():
    """Within it, a question that was asked just before is not asked again."""
    token = _last_answer.set([])
    try:
        yield
    finally:
        _last_answer.reset(token)


def ask_once(source, data, gather: Callable) -> Evidence:
    """Gather evidence, unless the question was asked just before in :func:`shared_evidence`."""
    last = _last_answer.get()
    if last is None:
        return gather(data)
    if last and _same_rows(last[1], data) and _same_question(last[0], source):
        return _own(last[2])
    evidence = gather(data)
    last[:] = source, data, _own(evidence)
    return evidence


def _own(evidence) -> Evidence:
    return dataclasses.replace(evidence, pred_proba=evidence.pred_proba.copy())


def _same_rows(one, other) -> bool:
    """Whether models would learn the same from both; what labels they replace does not matter."""
    return one.X is other.X and all(
        _same(getattr(one, name), getattr(other, name))
        for name in ("classes", "y_train", "used", "hidden", "sample_weight", "groups")
    )


def _same_question(one, other) -> bool:
    cvs = (5 if source.cv is None else source.cv for source in (one, other))
    return (
        _same(*cvs)
        and _same(one.random_state, other.random_state)
        and _same(one.estimator, other.estimator)
    )


def _same(one, other) -> bool:
    """Whether two parameters are surely the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (bool, int, float, str)):
        return one == other
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if hasattr(one, "get_params"):
        requests = [repr(get_routing_for_object(part)) for part in (one, other)]
        own = [part.get_params(deep=False) for part in (one, other)]
        return requests[0] == requests[1] and _same(*own)
    return False
