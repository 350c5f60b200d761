"""Module, loss, optimiser and callbacks of a neural estimator, and parameters of these parts."""

import inspect
from collections.abc import Callable
from typing import Any, Self

import torch

from skrobust.neural._callbacks import callback_of, named_callbacks
from skrobust.neural._plan import optimizer_class
from skrobust.neural._typing import Callbacks
from skrobust.neural.modules import MLP

PARTS = ("module", "criterion", "optimizer")

# Parameters of the estimator by the names that parts have for them.
_OF_THE_ESTIMATOR = {
    "optimizer": {"lr": "learning_rate", "weight_decay": "weight_decay", "momentum": "momentum"},
    "module": {name: name for name in ("hidden_layer_sizes", "activation", "dropout")},
    "criterion": {},
}
# Arguments that the estimator passes itself.
_PASSED = {
    "optimizer": {"params"},
    "module": {"input_shape", "n_classes"},
    "criterion": {"reduction"},
}


class ComposedParams:
    """Parameters of parts, as ``part__name``, in ``get_params`` and ``set_params``.

    Those of module, criterion and optimiser are entries of the dictionaries `module_params`,
    `criterion_params` and `optimizer_params`; those of callbacks belong to the callbacks.
    """

    callbacks: Callbacks

    def get_params(self, deep: bool = True) -> dict[str, Any]:
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
            callback = callback_of(self.callbacks[i])
            params[f"callbacks__{name}"] = callback
            if hasattr(callback, "get_params") and not isinstance(callback, type):
                own = callback.get_params(deep=False)
                params.update({f"callbacks__{name}__{key}": value for key, value in own.items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also of parts.

        Parameters
        ----------
        **params : dict
            Values by name: ``optimizer__betas`` becomes an entry of `optimizer_params`, and
            ``callbacks__EarlyStopping__patience`` is set on that callback, whose name is that of
            its class, or the one given with it. None removes a callback.

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
            elif (own_name := self._name_in_estimator(part, name)) is not None:
                setattr(self, own_name, value)
            else:
                self._check_part_param(part, name)
                values = getattr(self, f"{part}_params") or {}
                setattr(self, f"{part}_params", {**values, name: value})
        return self

    def _name_in_estimator(self, part: str, name: str) -> str | None:
        """Find the parameter of the estimator that a parameter of a part equals, if there is."""
        if part == "module" and self.module is not None:
            return None
        own_name = _OF_THE_ESTIMATOR[part].get(name)
        return own_name if own_name in super().get_params(deep=False) else None

    def _check_parts(self) -> None:
        """Refuse parameters of parts that these do not have."""
        for part in PARTS:
            for name in getattr(self, f"{part}_params", None) or {}:
                own_name = self._name_in_estimator(part, name)
                if own_name is not None:
                    raise ValueError(
                        f"{part}_params has {name!r}, which is the parameter {own_name} of"
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

    def _maker(self, part: str) -> Callable | None:
        """Find the callable that makes a part, if the parameter is valid."""
        value = getattr(self, part)
        if part == "module":
            return MLP if value is None else value
        if part == "criterion":
            return self._criteria.get(value) if isinstance(value, str) else value
        try:
            return optimizer_class(value)
        except KeyError:
            return None


def _names_of(maker: Callable | None) -> list[str] | None:
    """Names of the parameters of a callable, or None if they are not known."""
    try:
        parameters = list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters]


def _with_callback_param(callbacks: list | tuple | None, path: str, value: Any) -> list:
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
    callback = callback_of(callbacks[i])
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


def make_module(
    module: Callable, shape: int | tuple[int, ...], n_outputs: int, params: dict[str, Any]
) -> torch.nn.Module:
    """Make a network by ``module(shape, n_outputs, **params)``, or by `params` alone.

    Only `params` go to a class of modules whose constructor needs no others, and has no argument
    called `n_classes`.
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


def takes_shape(module: Callable) -> bool:
    """Whether a callable needs the shape of a row and the number of outputs."""
    try:
        signature = inspect.signature(module)
    except (TypeError, ValueError):
        return True
    if isinstance(module, type) and issubclass(module, torch.nn.Module):
        return "n_classes" in signature.parameters or not _binds(signature)
    return _binds(signature, 1, 1) or not _binds(signature)


def _binds(signature: inspect.Signature, *args: Any, **kwargs: Any) -> bool:
    """Whether a callable of a signature takes these arguments."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def with_head(module: torch.nn.Module) -> torch.nn.Module:
    """Refuse a network without features that something can be put behind, before its scores."""
    head = getattr(module, "head", None)
    if not (hasattr(module, "features") and isinstance(head, torch.nn.Linear)):
        raise ValueError(
            f"module makes a {type(module).__name__}, which has no method `features` and no linear"
            " layer `head` that reads its scores off them, as those of skrobust.neural.modules do."
        )
    return module


def probe(module: torch.nn.Module, first: torch.Tensor) -> tuple[Any, int]:
    """Compute the output of a few rows, and the numbers per row where the network is widest."""
    widest = [first.numel() // len(first)]

    def measure(_: torch.nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and len(output):
            widest.append(output.numel() // len(output))

    module.eval()
    hooks = [part.register_forward_hook(measure) for part in module.modules()]
    try:
        with torch.no_grad():
            output = module(first)
    finally:
        for hook in hooks:
            hook.remove()
    return output, max(widest)
