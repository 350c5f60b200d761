"""Old names of constructor parameters, which keep working."""

import functools


def accept_alias(alias: str, name: str):
    """Let a constructor take a parameter under a second name.

    The class shows one name only, in ``get_params`` and to :func:`sklearn.base.clone`; see
    ``AliasedParams`` for ``set_params``.

    Parameters
    ----------
    alias : str
        The other name.
    name : str
        The name that the parameter has.

    Returns
    -------
    decorator : callable
        For ``__init__``.
    """

    def decorate(init):
        @functools.wraps(init)
        def wrapper(self, *args, **kwargs):
            if alias in kwargs:
                if name in kwargs:
                    raise TypeError(f"{alias!r} is another name of {name!r}: give one of them.")
                kwargs[name] = kwargs.pop(alias)
            init(self, *args, **kwargs)

        # Where scikit-learn looks for the signature of a wrapped constructor.
        wrapper.deprecated_original = init
        return wrapper

    return decorate


class AliasedParams:
    """Mixin whose ``set_params`` knows the aliases in ``_param_aliases``, a dict to names."""

    _param_aliases: dict = {}

    def set_params(self, **params):
        """Set the parameters of this estimator.

        Parameters
        ----------
        **params : dict
            Parameters, by their names or other names.

        Returns
        -------
        self : object
            This estimator.
        """
        names = {self._param_aliases.get(key, key): value for key, value in params.items()}
        return super().set_params(**names)
