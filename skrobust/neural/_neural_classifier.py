"""A neural network that is a scikit-learn classifier, with whatever helps against wrong labels."""

from skrobust.neural._accelerated import AcceleratedNet, agree_on, join_processes
from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._callbacks import HalfFineTuning
from skrobust.neural._device import resolve_device
from skrobust.neural._nested_params import callbacks_of
from skrobust.neural._net import Net
from skrobust.neural._shared_parameters import shares_parameters


@shares_parameters(weight_decay=1e-3, ema_decay=0.99)
class NeuralClassifier(BaseNeuralClassifier):
    """A neural network classifier with regularisation against noisy labels.

    By default, weights decay and their moving average predicts. With more than 1 000 rows, a tenth
    is held out, and the network goes back to an earlier epoch if the last one has memorised wrong
    labels: held-out labels are as noisy as all others, but order epochs nevertheless. Mixup, label
    smoothing and robust losses are further parameters.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    accelerate : bool, default=False
        Whether the processes that ``accelerate launch`` started train one network together, each
        on its own GPU and with its part of each batch, through Hugging Face accelerate. All call
        ``fit`` with the same arguments, and all have the same network afterwards. `device` must
        be "auto" then; `record_dynamics`, :class:`HalfFineTuning` and a criterion that learns
        are refused.
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

    Where X lies on disk (``numpy.memmap``) and the network is on the CPU, it stays there. On a
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

    _many_rows = 1_000

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "accelerate": ["boolean"],
    }

    def __init__(
        self,
        *,
        accelerate=False,
    ):
        self.accelerate = accelerate

    @property
    def _unused_params(self):
        return ("device", "record_dynamics") if self.accelerate else ()

    @property
    def _net_class(self):
        return AcceleratedNet if self.accelerate else Net

    def _find_device(self):
        if not self.accelerate:
            return super()._find_device()
        device = join_processes().device
        # Processors are counted as well, and are one device all the same.
        return resolve_device("cpu" if device.type == "cpu" else device)

    def _build_criterion(self, n_classes):
        criterion = super()._build_criterion(n_classes)
        if self.accelerate and any(p.requires_grad for p in criterion.parameters()):
            raise ValueError(
                f"criterion is a {type(criterion).__name__}, which learns: processes would not"
                " learn the same. Set accelerate=False."
            )
        return criterion

    def _net_arguments(self):
        if not self.accelerate:
            return {}
        return {"accelerator": join_processes(), "callbacks__print_log__sink": print}

    def _train(self, data, X, proba, seed, *, again, **options):
        own = callbacks_of(self.callbacks)
        if again and isinstance(self.net_, AcceleratedNet) != self.accelerate:
            raise ValueError(
                f"accelerate={self.accelerate} is not what the training began with: clone the"
                " classifier to start anew."
            )
        halves = (c is HalfFineTuning or isinstance(c, HalfFineTuning) for c in own)
        if self.accelerate and any(halves):
            raise ValueError(
                "callbacks has HalfFineTuning, which processes cannot do together: set"
                " accelerate=False."
            )
        if self.accelerate:
            accelerator = join_processes()
            seed = agree_on(seed, accelerator)
            if again:
                self.net_.join(accelerator)
        try:
            super()._train(data, X, proba, seed, again=again, **options)
        finally:
            if isinstance(getattr(self, "net_", None), AcceleratedNet):
                self.net_.leave()
