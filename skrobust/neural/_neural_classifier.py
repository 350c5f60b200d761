"""A neural network that is a scikit-learn classifier, with whatever helps against wrong labels."""

from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._shared_docs import shares_parameters


@shares_parameters
class NeuralClassifier(BaseNeuralClassifier):
    """A neural network for noisy labels, on whatever device there is.

    Plain training is a strong baseline as long as it is not left to learn all labels by heart:
    weight decay, a moving average of the weights, mixup, smoothing, a robust loss and stopping on
    held-out rows, whose labels may be as wrong as all others, are parameters here.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(parameters)s

    Attributes
    ----------
    %(attributes)s

    See Also
    --------
    skrobust.neural.losses : Losses that wrong labels hurt less.
    skrobust.neural.modules : Networks.
    skrobust.wrappers.CleaningClassifier : Leaves out, or corrects, the rows that look wrong.

    Notes
    -----
    The network sees numbers as they are: put a scaler before it in a pipeline.

    Weights multiply the losses of a batch, and have a mean of 1 over all rows. An integer weight
    counts as so many equal rows exactly where all rows are in one batch.

    Where X lies on disk (``numpy.memmap``, in the precision of the network) it stays there. On a
    GPU, rows that would fill more than half of its memory, and sparse matrices, come batch by
    batch.

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz (2018). mixup: Beyond Empirical Risk Minimization. ICLR.

    Lukasik, Bhojanapalli, Menon and Kumar (2020). Does label smoothing mitigate label noise?
    ICML.

    Wei, Liu, Liu, Niu, Sugiyama and Liu (2022). To Smooth or Not? When Label Smoothing Meets
    Noisy Labels. ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust.neural import NeuralClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, _ = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> network = NeuralClassifier(max_epochs=20, weight_decay=1e-2, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network).fit(X, y_noisy)
    >>> bool(model.score(X, y) > 0.85)
    True
    """

    def __init__(
        self,
        module=None,
        *,
        hidden_layer_sizes=(256, 128),
        activation="relu",
        dropout=0.0,
        criterion="cross_entropy",
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        optimizer="adam",
        momentum=0.9,
        weight_decay=0.0,
        gradient_clip=None,
        label_smoothing=0.0,
        mixup=0.0,
        consistency=0.0,
        input_noise=0.1,
        hidden_noise=0.0,
        ema_decay=None,
        mixed_precision=None,
        early_stopping="auto",
        validation_fraction=0.1,
        validation_score="accuracy",
        n_iter_no_change=10,
        record_dynamics=False,
        warm_start=False,
        device="auto",
        dtype="float32",
        random_state=None,
        verbose=0,
        callbacks=None,
    ):
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.criterion = criterion
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.optimizer = optimizer
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.consistency = consistency
        self.input_noise = input_noise
        self.hidden_noise = hidden_noise
        self.ema_decay = ema_decay
        self.mixed_precision = mixed_precision
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.validation_score = validation_score
        self.n_iter_no_change = n_iter_no_change
        self.record_dynamics = record_dynamics
        self.warm_start = warm_start
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
