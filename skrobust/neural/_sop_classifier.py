"""A network whose labels have parts of their own that explain what is wrong with them."""

from numbers import Real

import numpy as np
import torch

from skrobust.base._labelled_data import apply_verified_labels
from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._net import Net, smooth_labels, weighed_mean
from skrobust.neural._shared_parameters import shares_parameters
from skrobust.utils._sklearn import Interval

_FLOOR = 1e-4
# The rates of the paper are for steps on batches of so many rows; ours do not depend on those.
_BATCH_OF_THE_PAPER = 128


class LabelNoise:
    """What is wrong with each label, as the network learns it.

    The noise of a row is ``u**2 * y - v**2 * (1 - y)``: what to take from the scores of other
    classes, and to add to the given one, so that the label is what the network says. Gradient
    descent from almost zero leaves most of it there.

    Parameters
    ----------
    n_samples, n_classes : int
        Shape.
    like : Tensor
        On whose device, and of whose precision.
    start : float
        The first value of all parts.
    """

    def __init__(self, n_samples: int, n_classes: int, like: torch.Tensor, start: float):
        # The paper draws them. Signs do not matter, and rows that are equal should start equal.
        self.u = torch.full((n_samples, 1), start, device=like.device, dtype=like.dtype)
        self.v = torch.full((n_samples, n_classes), start, device=like.device, dtype=like.dtype)

    def of(self, target):
        """Compute what is added for the given class of each row, and taken from the others."""
        return _given(self.u, target), _others(self.v, target)

    @torch.enable_grad()
    def learn(self, rows, logits, target, rates) -> torch.Tensor:
        """Take a step for some rows, each by its own loss; return what the network learns from."""
        u = self.u[rows].requires_grad_()
        v = self.v[rows].requires_grad_()
        entropy, distance = noisy_losses(logits, target, _given(u, target), _others(v, target))
        slopes = torch.autograd.grad((entropy + distance).sum(), (u, v), retain_graph=True)
        for whole, part, slope, rate in zip((self.u, self.v), (u, v), slopes, rates, strict=True):
            whole[rows] = part.detach() - rate / _BATCH_OF_THE_PAPER * slope
        return entropy


def _given(u, target):
    return (u.square() * target).clamp(0, 1)


def _others(v, target):
    return (v.square() * (1 - target)).clamp(0, 1)


def noisy_losses(logits, target, given, others):
    """Compute both losses of each row of networks with label noise.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_classes)
        What the network says of the true labels.
    target : Tensor of shape (n_rows, n_classes)
        Given labels, as probabilities.
    given, others : Tensor of shape (n_rows, n_classes)
        Noise that is added, and taken away.

    Returns
    -------
    entropy : Tensor of shape (n_rows,)
        Cross-entropy of the given labels and the network's probabilities with the noise, which
        teaches the network, and `given`.
    distance : Tensor of shape (n_rows,)
        Squared distance between the given labels and the network's decision with the noise, which
        teaches the noise only.
    """
    said = logits.softmax(dim=1) + given - others.detach()
    said = said.clamp_min(_FLOOR)
    said = (said / said.sum(dim=1, keepdim=True)).clamp_min(_FLOOR)
    entropy = -(target * said.log()).sum(dim=1)
    decided = smooth_labels(logits.argmax(dim=1), logits.shape[1], 0.0, logits.dtype)
    distance = (decided + given - others - target).square().sum(dim=1)
    return entropy, distance


class SOPNet(Net):
    """Learns the noise of each label beside the network."""

    def compute_loss(self, batch):
        """The loss of a batch."""
        x, y = batch
        logits = self.infer(x)
        target = smooth_labels(y, logits.shape[1], 0.0, logits.dtype)
        entropy = self.option("noise").learn(x["index"], logits, target, self.option("rates"))
        loss = weighed_mean(entropy, x)
        weight = self.option("consistency", 0.0)
        if weight:
            loss = loss + weight * self._inconsistency(x, logits)
        if self.option("balance"):
            mean = logits.softmax(dim=1).mean(dim=0).clamp_min(_FLOOR)
            loss = loss - self.option("balance") * (mean * len(mean)).log().mean()
        return loss, logits


@shares_parameters
class SOPClassifier(BaseNeuralClassifier):
    """A network with sparse noise of its own for each label.

    Each row gets as many more parameters as there are classes, and so the model could learn every
    label twice over. Gradient descent from values near zero prefers to explain by the network
    what rows have in common, and by the parameters of the row what is wrong with its label. Known
    as sparse over-parameterisation.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    learning_rate_u : float, default=1.0
        How fast the part of the noise is learned that explains the given label, not negative. 0.1
        was used where labels are mistaken for a certain other one. It is the rate for batches of
        128 rows whatever `batch_size` is.
    learning_rate_v : float, default=10.0
        How fast the part is learned that explains why it is none of the others; 100 was used
        where labels are mistaken for a certain other one.
    start : float, default=0.03
        First value of the parameters whose squares are the noise, positive. They grow by a share
        in each epoch: the fewer epochs, the larger it should be. The paper, with hundreds of
        epochs and a high learning rate, used 1e-8.
    balance : float, default=0.0
        Weight of a penalty on predicting some classes more often than others within a batch, not
        negative. With ``balance=0.1, consistency=0.9`` the method is known as SOP+.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    label_noise_ : ndarray of shape (n_samples, n_classes)
        What the noise of each row of ``fit`` came to, in [-1, 1]: positive for the label that was
        learned (a verified one, or shares of `target_proba`, if there is any), negative for the
        others. Zero where the row was not trained on.
    label_quality_ : ndarray of shape (n_samples,)
        One less how much of its given label each row's noise explains; NaN where there is no
        label, or the row was held out. 1 or 0 where a person verified the label.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose noise explains more than half of the label.

    See Also
    --------
    ELRClassifier : A network that is held to what it said before.

    Notes
    -----
    The noise belongs to the rows of one training: it starts anew in each, also with `warm_start`
    and in ``partial_fit``, whose single epoch leaves it where it starts.

    References
    ----------
    Liu, Zhu, Qu and You (2022). Robust training under label noise by over-parameterization. ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skrobust.neural import SOPClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> model = SOPClassifier(max_epochs=40, random_state=0).fit(X, y_noisy)
    >>> bool(model.score(X, y) > 0.85)
    True
    """

    _learns_per_batch = True

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "learning_rate_u": [Interval(Real, 0, None, closed="left")],
        "learning_rate_v": [Interval(Real, 0, None, closed="left")],
        "start": [Interval(Real, 0, None, closed="neither")],
        "balance": [Interval(Real, 0, None, closed="left")],
    }
    _net_class = SOPNet
    # The loss is the method, and it tells labels apart only where each row has its own.
    _unused_params = ("criterion", "label_smoothing", "mixup")

    def __init__(
        self,
        *,
        learning_rate_u=1.0,
        learning_rate_v=10.0,
        start=0.03,
        balance=0.0,
    ):
        self.learning_rate_u = learning_rate_u
        self.learning_rate_v = learning_rate_v
        self.start = start
        self.balance = balance

    def _net_options(self):
        rates = (self.learning_rate_u, self.learning_rate_v)
        return {**super()._net_options(), "rates": rates, "balance": self.balance}

    def _prepare(self, parts, n_epochs, data):
        super()._prepare(parts, n_epochs, data)
        # Each training starts anew: nobody knows whether its rows are those of the one before.
        like = next(self.net_.module_.parameters())
        noise = LabelNoise(data.n_samples, len(data.classes), like, self.start)
        self.net_.configure(noise=noise)
        self._data, self._trained_on = data, parts[0]

    def _conclude(self):
        super()._conclude()
        noise = self.net_.option("noise")
        if noise is None:
            return  # the training failed before it began
        self.net_.configure(noise=None)  # not needed again
        data, rows = self._data, self._trained_on
        used = np.zeros(data.n_samples, dtype=bool)
        used[rows.order(shuffle=False).cpu().numpy()] = True
        learned = rows.y.clamp_min(0) if rows.y.ndim == 1 else rows.y
        target = smooth_labels(learned, len(data.classes), 0.0, noise.u.dtype)
        added, taken = noise.of(target)
        whole = (added - taken).cpu().numpy().astype(np.float64)
        whole[~used] = 0.0
        own = whole[np.arange(data.n_samples), np.maximum(data.y, 0)]
        known = data.given & used
        quality = np.where(known, 1 - np.maximum(own, 0), np.nan)
        self.label_noise_ = whole
        self.label_quality_, self.label_errors_ = apply_verified_labels(
            data, quality, known & (own > 0.5)
        )
