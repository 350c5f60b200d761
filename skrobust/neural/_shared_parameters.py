"""The parameters that all neural classifiers share, in code and in docstrings, written once."""

import functools
import inspect
import json
import textwrap

from skrobust.neural._estimator import BaseNeuralEstimator

OF_THE_NETWORK = ("module", "module_params", "hidden_layer_sizes", "activation", "dropout")

MODULE = """\
module : callable, torch.nn.Module or None, default=None
    The network: a function ``(shape, n_classes) -> torch.nn.Module``, where `shape` is the number
    of features, or the shape of a row with more axes; or a module, which is copied, so that the
    training goes on from its weights. None is :class:`~skrobust.neural.modules.MLP`. Its outputs
    are one score per class, before the softmax. A class of modules whose constructor needs no
    arguments, and has none called `n_classes`, is called without any. Its other parameters are
    `module_params`; ``set_params`` and searches reach them as ``module__name``."""

NETWORK = """\
module_params : dict, default=None
    More keywords for `module`, or for the default network.
hidden_layer_sizes : tuple of int, default=(256, 128)
    Layers of the default network.
activation : str, default="relu"
    What follows them; see :class:`~skrobust.neural.modules.MLP`.
dropout : float, default=0.0
    Share of the hidden units of the default network that are left out in each step.
"""

PARAMETERS = """\
max_epochs : int, default=100
    How often to go through the rows.
batch_size : int or "auto", default="auto"
    Rows per step. "auto" is 256, or all if there are fewer.
learning_rate : float, default=1e-3
    Learning rate.
learning_rate_schedule : {{"constant", "cosine", "linear", "step", "one_cycle", \
"warm_restarts"}}, default="constant"
    How it changes: not at all; down to zero, along a cosine or a line; by a tenth after a half
    and after three quarters of the epochs; up and down; or along a cosine every ten epochs.
optimizer : {{"adam", "adamw", "sgd", "rmsprop"}} or callable, default="adam"
    Optimiser: a name, or a class with the interface of those in ``torch.optim``, also one that
    computes the loss several times per step, such as ``torch.optim.LBFGS``.
optimizer_params : dict, default=None
    More keywords for the optimiser; also ``optimizer__name``.
momentum : float, default=0.9
    Momentum of "sgd" (Nesterov's) and "rmsprop".
weight_decay : float, default=0.0
    Penalty on squared weights; with "adamw" their decay.
gradient_clip : float, default=None
    Largest norm of the gradient.
label_smoothing : float, default=0.0
    Share of the labels that is spread over all classes; below 1. A negative share takes from the
    other classes, which makes the network surer.
mixup : float, default=0.0
    If positive, rows are mixed in pairs, in shares drawn from a beta distribution with this
    parameter.
consistency : float, default=0.0
    Weight of a penalty on how much noise on the input changes the prediction.
input_noise : float, default=0.1
    Size of that noise, in standard deviations of the features.
hidden_noise : float, default=0.0
    Size of noise that is added to the features before the last layer in training, in standard
    deviations; see :class:`~skrobust.neural.layers.HiddenNoise`.
ema_decay : float, default=None
    If given, an exponential moving average of the weights predicts instead of the last ones, such
    as 0.999.
mixed_precision : {{"bfloat16", "float16"}}, default=None
    Precision of the forward pass, for devices that are faster with it.
early_stopping : bool or "auto", default="auto"
    Whether to hold out rows, whose labels may be as wrong as all others, to keep the weights of
    the epoch that is best on them, and to stop when it is long past. "auto" does so with more
    than {many_rows} rows{auto}.
validation_fraction : float, default=0.1
    Share of the rows held out.
validation_score : {{"accuracy", "loss"}}, default="accuracy"
    What is best.
n_iter_no_change : int, default=10
    Stop when so many epochs were not better. None never stops.
record_dynamics : bool, default=False
    Whether to keep statistics of how each row was learned, in ``training_dynamics_``.
warm_start : bool, default=False
    Whether ``fit`` goes on from the last fit, if there was one.
device : str or torch.device, default="auto"
    "auto" is CUDA where there is a GPU, else MPS, else the CPU.
dtype : {{"float32", "float64"}}, default="float32"
    Precision of the network.
random_state : int, RandomState instance or None, default=None
    Seed of the initial weights, of the order of rows, and of everything else that is drawn. An
    integer makes fits on the CPU equal bit for bit. None draws fresh entropy; the global
    generators of NumPy and torch are neither read nor advanced.
verbose : int, default=0
    1 shows a bar of epochs, 2 prints a line for each.
callbacks : list of skorch.callbacks.Callback, default=None
    More callbacks, their classes, or pairs of a name and one of these. Those of skorch work as
    they do there; see the user guide. ``callbacks__EarlyStopping__patience`` sets a parameter."""

CRITERION = """\
criterion : {{"cross_entropy", "generalized_cross_entropy", "symmetric_cross_entropy", \
"normalized_cross_entropy", "mean_absolute_error", "active_passive", "bootstrapping", "cores", \
"peer"}}, torch.nn.Module or callable, default="cross_entropy"
    Loss: a name, a loss of :mod:`skrobust.neural.losses` or any module that takes scores and
    labels and has a `reduction`, or a function without arguments that makes one.
criterion_params : dict, default=None
    Keywords for the loss, if it is a name or a function; also ``criterion__name``.
class_weight : dict or "balanced", default=None
    Factors by which rows of each given label count. "balanced" makes all labels count the same in
    total.
"""

REGRESSION_CRITERION = """\
criterion : {{"huber", "squared_error", "log_cosh", "trimmed"}}, torch.nn.Module or callable, \
default="huber"
    Loss of standardised targets: a name, a loss of :mod:`skrobust.neural.losses` or any module
    that takes predictions and targets and has a `reduction`, or a function without arguments that
    makes one.
criterion_params : dict, default=None
    Keywords for the loss, if it is a name or a function, such as the `delta` of
    :class:`~skrobust.neural.losses.Huber` or the `trim` of
    :class:`~skrobust.neural.losses.TrimmedSquaredError`; also ``criterion__name``.
"""

REGRESSION_MODULE = """\
module : callable, torch.nn.Module or None, default=None
    The network: a function ``(shape, n_outputs) -> torch.nn.Module``, where `shape` is the number
    of features, or the shape of a row with more axes, and `n_outputs` is 1; or a module, which is
    copied, so that the training goes on from its weights. None is
    :class:`~skrobust.neural.modules.MLP`. A class of modules whose constructor needs no arguments,
    and has none called `n_classes`, is called without any. Its other parameters are
    `module_params`; ``set_params`` and searches reach them as ``module__name``."""

# What early_stopping="auto" does besides.
AUTO = {
    "classifier": """, unless `record_dynamics`. It prefers the last epoch
    to the best one if its accuracy is lower by one standard error at most, and stops when
    `n_iter_no_change` epochs in a row were worse than that""",
    "regressor": "",
}

# What estimators have that know classes only.
OF_CLASSES = (
    "class_weight",
    "label_smoothing",
    "mixup",
    "consistency",
    "input_noise",
    "hidden_noise",
    "validation_score",
    "record_dynamics",
    "classes_",
    "training_dynamics_",
)

ATTRIBUTES = """\
net_ : skorch.NeuralNet
    The fitted net.
module_ : torch.nn.Module
    The trained network.
classes_ : ndarray of shape (n_classes,)
    Labels, sorted.
history_ : dict of str to ndarray of shape (n_epochs,)
    Losses, accuracy on held-out rows, learning rate and seconds of each epoch, and what callbacks
    record; ``pandas.DataFrame(history_)`` makes a table of it.
n_iter_ : int
    Number of epochs.
training_dynamics_ : dict of str to ndarray
    Only with ``record_dynamics=True``: the statistics of
    :class:`~skrobust.detection.TrainingDynamics`, of each row of ``fit``.
n_features_in_ : int
    Number of features: the length of the second axis of X.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of features, where X has names that are all text."""


def shares_parameters(cls=None, *, without: tuple = (), **defaults):
    """Give an estimator the parameters that all share, in its constructor and its docstring.

    Parameters
    ----------
    cls : type
        A class derived from :class:`BaseNeuralEstimator`. Its constructor, if it has one, takes
        and stores its own parameters only, as keywords. Its docstring has the marks
        ``%(module)s``, ``%(parameters)s`` and ``%(attributes)s``.
    without : tuple of str
        Parameters that it does not have.
    **defaults : dict
        Defaults that are not the usual ones.
    """
    if cls is None:
        return functools.partial(shares_parameters, without=without, **defaults)
    if "__init__" in vars(cls):
        cls.__init__ = _with_shared(cls.__init__, without, defaults)
    if cls.__doc__ is not None:  # python -OO
        cls.__doc__ = _documented(cls, without, defaults)
    return cls


def _with_shared(own_init, without, defaults):
    """Make a constructor of a class's own parameters and the shared ones."""
    own = list(inspect.signature(own_init).parameters.values())
    shared = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in inspect.signature(BaseNeuralEstimator).parameters.items()
        if name not in without
    ]
    # The only one that is no keyword comes first; the class's own are next.
    first = [p for p in shared if p.kind is not p.KEYWORD_ONLY]
    rest = [p for p in shared if p.kind is p.KEYWORD_ONLY]
    signature = inspect.Signature([own[0], *first, *own[1:], *rest])

    @functools.wraps(own_init)
    def init(*args, **kwargs):
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{own_init.__qualname__}() {error}{_advice_on(kwargs)}") from None
        given.apply_defaults()
        self, *own_names = (parameter.name for parameter in own)
        estimator = given.arguments.pop(self)
        own_values = {name: given.arguments.pop(name) for name in own_names}
        BaseNeuralEstimator.__init__(estimator, **given.arguments)
        own_init(estimator, **own_values)

    init.__signature__ = signature
    return init


def _advice_on(kwargs: dict) -> str:
    """Where parameters of parts belong that skorch would take in a constructor."""
    nested = next((name for name in kwargs if "__" in name), None)
    if nested is None:
        return ""
    part, _, name = nested.partition("__")
    if part == "callbacks":
        return ". Parameters of callbacks are set on these, or by set_params."
    return f". Pass {part}_params={{{name!r}: ...}}, or call set_params({nested}=...)."


def _documented(cls: type, without: tuple, defaults: dict) -> str:
    """Write the shared parameters, with their defaults, where a docstring has marks."""
    classifies = cls._kind == "classifier"
    shared = NETWORK + (CRITERION if classifies else REGRESSION_CRITERION) + PARAMETERS
    shared = shared.format(many_rows=f"{cls._many_rows:,}".replace(",", " "), auto=AUTO[cls._kind])
    shared = _left_out(shared, without)
    for name, default in defaults.items():
        before, rest = shared.split(f"{name} : ", 1)
        kind, rest = rest.split("default=", 1)
        written = json.dumps(default) if isinstance(default, str) else repr(default)
        shared = f"{before}{name} : {kind}default={written}\n{rest.partition(chr(10))[2]}"
    module = MODULE if classifies else REGRESSION_MODULE
    attributes = ATTRIBUTES if classifies else _left_out(ATTRIBUTES, OF_CLASSES)
    marks = {"module": module, "parameters": shared, "attributes": attributes}
    text, indent = cls.__doc__, "    "
    for mark, words in marks.items():
        text = text.replace(f"{indent}%({mark})s", textwrap.indent(words.rstrip(), indent))
    return text


def _left_out(text: str, names) -> str:
    """Leave entries out of a list of parameters or attributes."""
    kept, wanted = [], True
    for line in text.splitlines(keepends=True):
        if not line.startswith(" "):
            wanted = line.partition(" : ")[0] not in names
        if wanted:
            kept.append(line)
    return "".join(kept)
