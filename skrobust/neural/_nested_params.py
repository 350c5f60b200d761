"""Parameters of the parts of a neural estimator: of module, criterion, optimiser and callbacks."""

import inspect
from collections import Counter

import torch

from skrobust.neural._optimizers import optimizer_class
from skrobust.neural.modules import MLP

PARTS = ("module", "criterion", "optimizer")
_SEVERAL = inspect.Parameter.VAR_KEYWORD

# What a part calls a parameter of the estimator.
_OF_THE_ESTIMATOR = {
    "optimizer": {"lr": "learning_rate", "weight_decay": "weight_decay", "momentum": "momentum"},
    "module": {name: name for name in ("hidden_layer_sizes", "activation", "dropout")},
    "criterion": {},
}
# What the estimator passes itself.
_PASSED = {
    "optimizer": {"params"},
    "module": {"input_shape", "n_classes"},
    "criterion": {"reduction"},
}


class NestedParams:
    """Parameters of parts, as ``part__name``, in ``get_params`` and ``set_params``.

    Those of module, criterion and optimiser are entries of the dictionaries `module_params`,
    `criterion_params` and `optimizer_params`, those of callbacks belong to the callbacks.
    """

    def get_params(self, deep=True):
        """Get the parameters.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include those of the parts: of ``module_params`` and the like as
            ``module__name``, and of callbacks as ``callbacks__name__parameter``.

        Returns
        -------
        params : dict
            Values by name.
        """
        params = super().get_params(deep=deep)
        if not deep:
            return params
        for part in PARTS:
            values = params.get(f"{part}_params")
            if isinstance(values, dict):
                params.update({f"{part}__{name}": value for name, value in values.items()})
        for name, i in named_callbacks(self.callbacks).items():
            callback = _callback_of(self.callbacks[i])
            params[f"callbacks__{name}"] = callback
            if hasattr(callback, "get_params") and not isinstance(callback, type):
                own = callback.get_params(deep=False)
                params.update({f"callbacks__{name}__{key}": value for key, value in own.items()})
        return params

    def set_params(self, **params):
        """Set parameters, also of parts.

        Parameters
        ----------
        **params : dict
            Values by name: ``optimizer__betas`` becomes an entry of `optimizer_params`, and
            ``callbacks__EarlyStopping__patience`` is set on that callback, whose name is that of
            its class, or the one given with it. None takes a callback away.

        Returns
        -------
        self : object
            The estimator.
        """
        own = super().get_params(deep=False)
        nested = {}
        for key in list(params):
            part, separator, _ = key.partition("__")
            if separator and (f"{part}_params" in own or part == "callbacks"):
                nested[key] = params.pop(key)
        super().set_params(**params)
        for key, value in nested.items():
            part, _, name = key.partition("__")
            if part == "callbacks":
                self.callbacks = _with_callback_param(self.callbacks, name, value)
            else:
                self._set_part_param(part, name, value)
        return self

    def _set_part_param(self, part: str, name: str, value) -> None:
        """Set one parameter of a part, which must know it."""
        alias = self._alias(part, name)
        if alias is not None:
            setattr(self, alias, value)
            return
        self._check_part_param(part, name)
        values = getattr(self, f"{part}_params") or {}
        setattr(self, f"{part}_params", {**values, name: value})

    def _alias(self, part: str, name: str) -> str | None:
        """Find the parameter of the estimator that a parameter of a part is, if it is one."""
        if part == "module" and self.module is not None:
            return None
        alias = _OF_THE_ESTIMATOR[part].get(name)
        return alias if alias in super().get_params(deep=False) else None

    def _check_parts(self) -> None:
        """Refuse parameters of parts that these do not have."""
        own = super().get_params(deep=False)
        for part in PARTS:
            for name in own.get(f"{part}_params") or {}:
                alias = self._alias(part, name)
                if alias is not None:
                    raise ValueError(
                        f"{part}_params has {name!r}, which is the parameter {alias} of"
                        f" {type(self).__name__}: set that."
                    )
                self._check_part_param(part, name)

    def _check_part_param(self, part: str, name: str) -> None:
        """Refuse a parameter that a part does not have."""
        value = getattr(self, part)
        if isinstance(value, torch.nn.Module):
            raise ValueError(
                f"Invalid parameter {part}__{name}: {part} is a {type(value).__name__} that has"
                f" been made already. Pass the class, or a function that makes it."
            )
        maker = self._maker(part)
        known = _names_of(maker)
        if known is not None and name not in set(known) - _PASSED[part]:
            first = 2 if part == "module" and takes_shape(maker) else 0
            shown = ", ".join(sorted({*known[first:]} - _PASSED[part])) or "none"
            raise ValueError(
                f"Invalid parameter {part}__{name}: {getattr(maker, '__name__', maker)} has no"
                f" {name!r}. Its parameters are: {shown}."
            )

    def _maker(self, part: str):
        """Find what makes a part, if the parameter is valid."""
        value = getattr(self, part)
        if part == "module":
            return MLP if value is None else value
        if part == "criterion":
            return self._criteria.get(value) if isinstance(value, str) else value
        try:
            return optimizer_class(value)
        except KeyError:
            return None


def _names_of(maker) -> list[str] | None:
    """Names of the parameters of a callable, or None if they are not known."""
    try:
        parameters = list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is _SEVERAL for p in parameters):
        return None
    return [p.name for p in parameters]


def _callback_of(item):
    """Return a callback without its name."""
    return item[1] if isinstance(item, (tuple, list)) else item


def callbacks_of(callbacks) -> list:
    """Return callbacks without their names."""
    return [_callback_of(item) for item in callbacks or ()]


def named_callbacks(callbacks) -> dict[str, int]:
    """Name callbacks as skorch does, by their class unless a name is given.

    Parameters
    ----------
    callbacks : list or None
        Callbacks, their classes, or pairs of a name and one of these.

    Returns
    -------
    positions : dict of str to int
        Where each name is in the list.
    """
    if not isinstance(callbacks, (list, tuple)):
        return {}
    names = []
    for item in callbacks:
        if isinstance(item, (tuple, list)):
            names.append(item[0])
        else:
            names.append((item if isinstance(item, type) else type(item)).__name__)
    counts, seen = Counter(names), Counter()
    positions = {}
    for i, name in enumerate(names):
        seen[name] += 1
        positions[name if counts[name] == 1 else f"{name}_{seen[name]}"] = i
    return positions


def _with_callback_param(callbacks, path: str, value) -> list:
    """Set a parameter of a callback, or the callback itself, in a copy of a list."""
    name, separator, key = path.partition("__")
    positions = named_callbacks(callbacks)
    if name not in positions:
        known = ", ".join(positions) or "none"
        raise ValueError(
            f"Invalid parameter callbacks__{path}: no callback is called {name!r}. There are:"
            f" {known}."
        )
    i, callbacks = positions[name], list(callbacks)
    if not separator:
        callbacks[i : i + 1] = [] if value is None else [(name, value)]
        return callbacks
    callback = _callback_of(callbacks[i])
    if isinstance(callback, type):
        callback = callback(**{key: value})
        callbacks[i] = (name, callback) if isinstance(callbacks[i], (tuple, list)) else callback
        return callbacks
    known = callback.get_params(deep=False)
    if key not in known:
        raise ValueError(
            f"Invalid parameter callbacks__{path}: {type(callback).__name__} has no {key!r}. Its"
            f" parameters are: {', '.join(sorted(known))}."
        )
    callback.set_params(**{key: value})
    return callbacks


def make_module(module, shape, n_outputs: int, params: dict) -> torch.nn.Module:
    """Call what makes a network.

    Parameters
    ----------
    module : callable
        Called with `shape` and `n_outputs`, and with `params`. A class of modules whose
        constructor needs neither, and has no argument called `n_classes`, gets `params` only.
    shape : int or tuple of int
        Number of features, or shape of a row.
    n_outputs : int
        Number of outputs.
    params : dict
        Keywords.

    Returns
    -------
    network : torch.nn.Module
        The network.
    """
    try:
        signature = inspect.signature(module)
    except (TypeError, ValueError):
        return module(shape, n_outputs, **params)
    alone = _binds(signature, **params)
    if alone and not takes_shape(module):
        return module(**params)
    if _binds(signature, shape, n_outputs, **params):
        return module(shape, n_outputs, **params)
    if alone:
        return module(**params)
    given = "".join(f", {name}={value!r}" for name, value in params.items())
    raise ValueError(
        f"module={getattr(module, '__name__', module)} takes {signature}, and cannot be called as"
        f" module({shape}, {n_outputs}{given}), nor without the first two arguments. Pass the rest"
        " in module_params, or a function (shape, n_outputs) -> torch.nn.Module."
    )


def takes_shape(module) -> bool:
    """Whether a callable is to be given the shape of a row and the number of outputs."""
    try:
        signature = inspect.signature(module)
    except (TypeError, ValueError):
        return True
    if isinstance(module, type) and issubclass(module, torch.nn.Module):
        return "n_classes" in signature.parameters or not _binds(signature)
    return _binds(signature, 1, 1) or not _binds(signature)


def _binds(signature: inspect.Signature, *args, **kwargs) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
