"""Fitted attributes of estimators."""


def set_fitted(estimator, **attributes) -> None:
    """Set fitted attributes; None removes that of an earlier fit."""
    for name, value in attributes.items():
        if value is not None:
            setattr(estimator, name, value)
        elif name in vars(estimator):
            delattr(estimator, name)
