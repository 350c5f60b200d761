"""Validation of the parameters of losses and layers."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from skrobust.utils._sklearn import validate_parameters

Init = TypeVar("Init", bound=Callable)


def check_parameters(constraints: dict[str, list]) -> Callable[[Init], Init]:
    """Validate arguments of ``__init__`` by constraints, also while an estimator is fitted."""
    # scikit-learn's own decorator is inactive then.

    def decorate(init: Init) -> Init:
        signature = inspect.signature(init)

        @functools.wraps(init)
        def checked(self: Any, *args: Any, **kwargs: Any) -> None:
            given = signature.bind(self, *args, **kwargs)
            given.apply_defaults()
            values = {name: given.arguments[name] for name in constraints}
            validate_parameters(constraints, values, caller_name=type(self).__name__)
            init(self, *args, **kwargs)

        return checked

    return decorate
