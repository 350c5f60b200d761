"""Checks of what losses and layers are constructed with."""

import functools
import inspect

from skrobust.utils._sklearn import validate_parameters


def check_parameters(constraints: dict):
    """Make a decorator of ``__init__`` that refuses bad values.

    scikit-learn's own decorator does not look while an estimator is fitted, which is when losses
    and layers may be constructed from parameters of the estimator.

    Parameters
    ----------
    constraints : dict
        For each parameter to check, a list of what it may be, as in ``_parameter_constraints``.

    Returns
    -------
    decorate : callable
        The decorator. Errors name the class, the parameter, the value and what was expected.
    """

    def decorate(init):
        signature = inspect.signature(init)

        @functools.wraps(init)
        def checked(self, *args, **kwargs):
            given = signature.bind(self, *args, **kwargs)
            given.apply_defaults()
            values = {name: given.arguments[name] for name in constraints}
            validate_parameters(constraints, values, caller_name=type(self).__name__)
            init(self, *args, **kwargs)

        return checked

    return decorate
