"""Docstring entries of the parameters and attributes that neural estimators share."""

import inspect
import json
from typing import TypeVar

from skrobust.utils._docstring import fill_docstring

Estimator = TypeVar("Estimator", bound=type)

_MODULE = """
module : callable, torch.nn.Module or None, default=None
    The network: a function ``(shape, {outputs}) -> torch.nn.Module``, where `shape` is the number
    of features, or the shape of a row with more axes{one}; or a module, which is copied, so that
    the training continues from its weights. None is :class:`~skrobust.neural.modules.MLP`. Its
    {returns}. A class of modules whose constructor needs no arguments, and has none called
    `n_classes`, is called without any. Its other parameters are `module_params`; ``set_params`` and
    searches set them as ``module__name``."""

_OF_CLASSES = {
    "criterion": """\
{{"cross_entropy", "generalized_cross_entropy", "symmetric_cross_entropy", \
"normalized_cross_entropy", "mean_absolute_error", "active_passive", "bootstrapping", "cores", \
"peer"}}, torch.nn.Module or callable, default={default}
    Loss: a name, a loss of :mod:`skrobust.neural.losses` or any module that takes scores and
    labels and has a `reduction`, or a function without arguments that makes one.""",
    "criterion_params": """\
dict, default={default}
    Keywords for the loss, if it is a name or a function; also ``criterion__name``.""",
}
_OF_TARGETS = {
    "criterion": """\
{{"huber", "squared_error", "log_cosh", "trimmed"}}, torch.nn.Module or callable, default={default}
    Loss of standardised targets: a name, a loss of :mod:`skrobust.neural.losses` or any module
    that takes predictions and targets and has a `reduction`, or a function without arguments that
    makes one.""",
    "criterion_params": """\
dict, default={default}
    Keywords for the loss, if it is a name or a function, such as the `delta` of
    :class:`~skrobust.neural.losses.Huber` or the `trim` of
    :class:`~skrobust.neural.losses.TrimmedSquaredError`; also ``criterion__name``.""",
}

# Type, default and effect of each parameter, in the order of the constructors.
_PARAMETERS = {
    "module_params": """\
dict, default={default}
    Further keywords for `module`, or for the default network.""",
    "hidden_layer_sizes": """\
tuple of int, default={default}
    Units of the hidden layers of the default network.""",
    "activation": """\
str, default={default}
    Activation of the hidden layers; see :class:`~skrobust.neural.modules.MLP`.""",
    "dropout": """\
float, default={default}
    Share of the hidden units of the default network that are dropped in each step, in [0, 1).""",
    "criterion": "",
    "criterion_params": "",
    "class_weight": """\
dict or "balanced", default={default}
    Factors of the weights of rows by given label. "balanced" gives all labels the same total
    weight.""",
    "max_epochs": """\
int, default={default}
    Maximum number of epochs.""",
    "batch_size": """\
int or "auto", default={default}
    Rows per step. "auto" is 256, or all if there are fewer.""",
    "learning_rate": """\
float, default={default}
    Learning rate, positive.""",
    "learning_rate_schedule": """\
{{"constant", "cosine", "linear", "step", "one_cycle", "warm_restarts"}}, default={default}
    Schedule of the learning rate: constant; down to zero along a cosine or a line; divided by ten
    after a half and after three quarters of the epochs; up and down; or along a cosine every ten
    epochs.""",
    "optimizer": """\
{{"adam", "adamw", "sgd", "rmsprop"}} or callable, default={default}
    Optimiser: a name, or a class with the interface of those in ``torch.optim``, also one that
    computes the loss several times per step, such as ``torch.optim.LBFGS``.""",
    "optimizer_params": """\
dict, default={default}
    Further keywords for the optimiser; also ``optimizer__name``.""",
    "momentum": """\
float, default={default}
    Momentum of "sgd" (Nesterov's) and "rmsprop", in [0, 1).""",
    "weight_decay": """\
float, default={default}
    Penalty on squared weights, not negative; with "adamw" decoupled weight decay.""",
    "gradient_clip": """\
float, default={default}
    Maximum norm of the gradient. None does not clip.""",
    "label_smoothing": """\
float, default={default}
    Share of the labels that is distributed over all classes, below 1. A negative share is taken
    from the other classes, which sharpens the labels.""",
    "mixup": """\
float, default={default}
    If positive, rows are mixed in pairs, in shares drawn from a beta distribution with this
    parameter.""",
    "consistency": """\
float, default={default}
    Weight of the divergence between the predictions of a row and of the row with noise.""",
    "input_noise": """\
float, default={default}
    Standard deviation of that noise, in units of that of each feature.""",
    "hidden_noise": """\
float, default={default}
    Standard deviation of noise that is added to the features before the last layer in training;
    see :class:`~skrobust.neural.layers.HiddenNoise`.""",
    "ema_decay": """\
float, default={default}
    Decay of an exponential moving average of the weights, which predicts instead of the last ones,
    in (0, 1). None predicts by the last ones.""",
    "mixed_precision": """\
{{"bfloat16", "float16"}}, default={default}
    Precision of the forward pass, for devices that are faster with it. None is `dtype`.""",
    "early_stopping": """\
bool or "auto", default={default}
    Whether to hold out rows, whose labels are as noisy as all others, to keep the weights of the
    epoch with the best score on them, and to stop `n_iter_no_change` epochs after it. "auto" does
    so with more than {many_rows} rows{auto}.""",
    "validation_fraction": """\
float, default={default}
    Share of the rows held out, in (0, 1).""",
    "validation_score": """\
{{"accuracy", "loss"}}, default={default}
    Score of an epoch on the rows held out.""",
    "n_iter_no_change": """\
int, default={default}
    Number of epochs without improvement before the training stops. None never stops.""",
    "record_dynamics": """\
bool, default={default}
    Whether to record the training dynamics of each row, in ``training_dynamics_``.""",
    "warm_start": """\
bool, default={default}
    Whether ``fit`` continues the last fit, if there was one.""",
    "device": """\
str or torch.device, default={default}
    "auto" is CUDA where there is a GPU, else MPS, else the CPU.""",
    "dtype": """\
{{"float32", "float64"}}, default={default}
    Precision of the network.""",
    "random_state": """\
int, RandomState instance or None, default={default}
    Seed of the initial weights, of the order of rows, and of everything else that is drawn. An
    integer makes fits on the CPU equal bit for bit. None draws new entropy; the global
    generators of NumPy and torch are neither read nor advanced.""",
    "verbose": """\
int, default={default}
    1 shows a bar of epochs, 2 prints a line for each.""",
    "callbacks": """\
list of skorch.callbacks.Callback, default={default}
    Further callbacks, their classes, or pairs of a name and one of these. Those of skorch work as
    they do there; see the user guide. ``callbacks__EarlyStopping__patience`` sets a parameter.""",
}

_ATTRIBUTES = {
    "net_": """\
skorch.NeuralNet
    The fitted net.""",
    "module_": """\
torch.nn.Module
    The trained network.""",
    "classes_": """\
ndarray of shape (n_classes,)
    Class labels, sorted.""",
    "history_": """\
dict of str to ndarray of shape (n_epochs,)
    Losses, accuracy on held-out rows, learning rate and seconds of each epoch, and what callbacks
    record; ``pandas.DataFrame(history_)`` makes a table of it.""",
    "n_iter_": """\
int
    Number of epochs.""",
    "training_dynamics_": """\
dict of str to ndarray
    Only with ``record_dynamics=True``: the statistics of
    :class:`~skrobust.detection.TrainingDynamics`, of each row of ``fit``.""",
    "n_features_in_": """\
int
    Number of features: the length of the second axis of X.""",
    "feature_names_in_": """\
ndarray of shape (n_features_in_,)
    Names of the features, where all names in X are strings.""",
}

_AUTO = {
    "classifier": """, unless `record_dynamics`. It prefers the last epoch to the
    best one if its accuracy is lower by one standard error at most, and stops when
    `n_iter_no_change` consecutive epochs were worse than that""",
    "regressor": "",
}

_METHODS = {
    "X_rows": """
X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
    Rows.""",
    "X_table": """
X : {array-like, sparse matrix} of shape (n_samples, ...)
    Rows.""",
    "validation_data": """
validation_data : tuple of (X, y) or (X, y, sample_weight), default=None
    Rows to validate on after each epoch, in the place of rows held out: for early stopping,
    unless it is False, for callbacks and for ``history_``. Those without a label are left out.""",
    "verified_training": """
verified_labels : array-like of shape (n_samples,), default=None
    Labels as verified by a reviewer, missing where a row was not reviewed. They are trained on
    instead of those in `y`, which holds the given labels, not overwritten by these.""",
    "batch_weight": """
sample_weight : array-like of shape (n_samples,), default=None
    Weights >= 0. Those of a batch multiply its losses. None weights all rows by 1.""",
}


def document_estimator(cls: Estimator) -> Estimator:
    """Fill in the parameters that a constructor shares with others, with its own defaults."""
    classifies = cls._kind == "classifier"
    texts = {**_PARAMETERS, **(_OF_CLASSES if classifies else _OF_TARGETS)}
    many_rows = f"{cls._many_rows:,}".replace(",", " ")
    entries = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in texts:
            value = parameter.default
            default = json.dumps(value) if isinstance(value, str) else repr(value)
            text = texts[name].format(default=default, many_rows=many_rows, auto=_AUTO[cls._kind])
            entries.append(f"{name} : {text}")
    attributes = [
        f"{name} : {text}"
        for name, text in _ATTRIBUTES.items()
        if classifies or name not in ("classes_", "training_dynamics_")
    ]
    module = _MODULE.format(
        outputs="n_classes" if classifies else "n_outputs",
        one="" if classifies else ", and `n_outputs` is 1",
        returns="outputs are one score per class, before the softmax"
        if classifies
        else "output is one prediction per row",
    )
    return fill_docstring(
        cls,
        module=module,
        parameters="\n".join(entries),
        attributes="\n".join(attributes),
        **_METHODS,
    )


def document_methods(cls: Estimator) -> Estimator:
    """Fill in the parameters of methods of a base class."""
    return fill_docstring(cls, **_METHODS)
