"""What every loss must do: weights, reductions, soft labels, extreme logits, errors, copies."""

import copy
import io
import pickle

import pytest
import torch
from sklearn import config_context

from skrobust.neural import losses
from skrobust.neural.losses import (
    CORES,
    ActivePassiveLoss,
    BackwardCorrected,
    Bootstrapping,
    CrossEntropy,
    ForwardCorrected,
    GeneralizedCrossEntropy,
    LabelSmoothing,
    MeanAbsoluteError,
    NormalizedCrossEntropy,
    PeerLoss,
    RobustLoss,
    SoftDice,
    SymmetricCrossEntropy,
    TripletAlignment,
    VolumeMinimizing,
)

T = [[0.8, 0.2, 0.0], [0.1, 0.7, 0.2], [0.05, 0.05, 0.9]]

MAKERS = {
    "ce": CrossEntropy,
    "gce": GeneralizedCrossEntropy,
    "gce-truncated": lambda **kw: GeneralizedCrossEntropy(0.5, truncation=0.3, **kw),
    "sce": SymmetricCrossEntropy,
    "nce": NormalizedCrossEntropy,
    "mae": MeanAbsoluteError,
    "nce-rce": ActivePassiveLoss,
    "ce-mae": lambda **kw: ActivePassiveLoss("ce", "mae", 0.3, 2.0, **kw),
    "smoothing": LabelSmoothing,
    "smoothing-negative": lambda **kw: LabelSmoothing(-0.5, **kw),
    "bootstrapping": lambda **kw: Bootstrapping(0.7, **kw),
    "bootstrapping-hard": lambda **kw: Bootstrapping(0.7, kind="hard", **kw),
    "forward": lambda **kw: ForwardCorrected(T, **kw),
    "backward": lambda **kw: BackwardCorrected(T, **kw),
    "volume": lambda **kw: VolumeMinimizing(3, penalty=0.1, **kw),
    "cores-start": CORES,
    "cores": lambda **kw: CORES(warmup=0, ramp=0, sieve=0, **kw),
    "cores-unlimited": lambda **kw: CORES(warmup=0, ramp=0, sieve=None, floor=0, **kw),
    "peer": PeerLoss,
    "dice": SoftDice,
    "dice-robust": lambda **kw: SoftDice("robust", **kw),
    "triplet": lambda **kw: TripletAlignment(0.3, temperature=0.2, **kw),
}
DETERMINISTIC = [name for name in MAKERS if name != "peer"]

every_loss = pytest.mark.parametrize("name", MAKERS)
every_deterministic_loss = pytest.mark.parametrize("name", DETERMINISTIC)


def _batch(seed, n_samples=12, *, dtype=torch.float64, scale=1.5):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n_samples, 3, generator=generator, dtype=torch.float64)
    codes = torch.randint(3, (n_samples,), generator=generator)
    return logits.to(dtype), codes


def _call(loss, *args):
    """The loss with a generator of its own, so that the same numbers are drawn each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return loss(*args)


def _soft(seed, n_samples=12):
    generator = torch.Generator().manual_seed(seed + 1000)
    return torch.rand(n_samples, 3, generator=generator, dtype=torch.float64).softmax(dim=1)


def test_every_public_loss_is_tried():
    public = {getattr(losses, name) for name in losses.__all__} - {RobustLoss}
    # tests/neural/test_neural_regressor.py has those of regression.
    public = {cls for cls in public if not issubclass(cls, losses.SquaredError)}
    missing = public - {type(make()) for make in MAKERS.values()}
    assert not missing, f"add to MAKERS: {sorted(cls.__name__ for cls in missing)}"


@every_loss
def test_reductions_are_consistent(name, seed):
    logits, codes = _batch(seed)
    weight = torch.rand(12, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for given in (None, weight):
        args = (logits, codes) if given is None else (logits, codes, given)
        rows = _call(MAKERS[name](reduction="none"), *args)
        total = _call(MAKERS[name](reduction="sum"), *args)
        mean = _call(MAKERS[name](), *args)
        assert rows.shape == (12,)
        torch.testing.assert_close(rows.sum(), total)
        torch.testing.assert_close(mean, total / (12 if given is None else weight.sum()))
        assert mean.dtype == logits.dtype


@every_deterministic_loss
def test_weights_equal_repeated_rows(name, seed):
    logits, codes = _batch(seed)
    weight = torch.randint(0, 4, (12,), generator=torch.Generator().manual_seed(seed))
    weight[0] = 2  # not all zero
    repeated = torch.arange(12).repeat_interleave(weight)
    for reduction in ("mean", "sum"):
        loss = MAKERS[name](reduction=reduction)
        for target in (codes, _soft(seed)):
            weighted = loss(logits, target, weight.to(torch.float64))
            torch.testing.assert_close(weighted, loss(logits[repeated], target[repeated]))


@every_loss
def test_one_hot_labels_equal_codes(name, seed):
    logits, codes = _batch(seed)
    one_hot = torch.nn.functional.one_hot(codes, 3).to(torch.float64)
    loss = MAKERS[name](reduction="none")
    wanted = _call(loss, logits, codes)
    torch.testing.assert_close(_call(loss, logits, one_hot), wanted)
    torch.testing.assert_close(_call(loss, logits, codes.to(torch.int32)), wanted)


@every_loss
def test_none_is_per_row(name, seed):
    logits, codes = _batch(seed)
    loss = MAKERS[name](reduction="none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = loss.per_row(logits, codes)
    torch.testing.assert_close(_call(loss, logits, codes), rows)
    if not loss.batch_only:
        torch.testing.assert_close(torch.cat([loss(logits[:5], codes[:5]), rows[5:]]), rows)


@every_loss
@pytest.mark.parametrize("soft", [False, True])
def test_gradients_are_those_of_finite_differences(name, soft, seed):
    logits, codes = _batch(seed, 5, scale=1.0)
    target = _soft(seed, 5) if soft else codes
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0], dtype=torch.float64)
    loss = MAKERS[name](reduction="sum").double()

    def value(logits, *parameters):
        return _call(loss, logits, target, weight)

    inputs = (logits.requires_grad_(), *loss.parameters())
    assert torch.autograd.gradcheck(value, inputs, eps=1e-7, atol=1e-5, rtol=1e-4)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("soft", [False, True])
def test_extreme_logits(name, dtype, soft, seed):
    logits, codes = _batch(seed, dtype=dtype)
    logits[:3] = 1e4 * torch.eye(3, dtype=dtype)
    logits[3:6] = -1e4 * torch.eye(3, dtype=dtype)
    logits[6:8] = torch.tensor([[1e4, 1e4, -1e4], [0.0, 0.0, 0.0]], dtype=dtype)
    logits.requires_grad_()
    target = torch.nn.functional.one_hot(codes, 3).to(dtype) if soft else codes
    loss = MAKERS[name](reduction="none")
    rows = _call(loss, logits, target)
    rows.sum().backward()
    assert rows.dtype == dtype
    assert torch.isfinite(rows).all()
    assert torch.isfinite(logits.grad).all()
    for parameter in loss.parameters():
        assert torch.isfinite(parameter.grad).all()


@every_loss
def test_single_precision_is_near_double(name, seed):
    logits, codes = _batch(seed, dtype=torch.float32)
    loss = MAKERS[name]()
    torch.testing.assert_close(
        _call(loss, logits, codes).double(),
        _call(loss, logits.double(), codes),
        rtol=1e-4,
        atol=1e-5,
    )


@every_loss
def test_an_empty_batch_and_weights_of_zero_cost_nothing(name):
    loss = MAKERS[name]()
    assert loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 0
    logits = torch.ones(2, 3, requires_grad=True)
    value = loss(logits, torch.tensor([0, 1]), torch.zeros(2))
    value.backward()
    assert value == 0
    assert (logits.grad == 0).all()


@every_loss
def test_deepcopy_pickle_and_state(name, seed):
    logits, codes = _batch(seed)
    loss = MAKERS[name]()
    loss.on_epoch(35)
    wanted = _call(loss, logits, codes)
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(_call(other, logits, codes), wanted)
        assert repr(other) == repr(loss)
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    new = MAKERS[name]()
    new.load_state_dict(torch.load(file, weights_only=True))
    new.on_epoch(35)
    assert torch.equal(_call(new, logits, codes), wanted)


@every_loss
def test_values_on_an_accelerator_are_not_read(name):
    """Tensors on the meta device have no numbers: whatever waits for one fails."""
    loss = MAKERS[name]().to("meta")
    logits = torch.zeros(4, 3, device="meta")
    for target in (torch.zeros(4, dtype=torch.int64, device="meta"), torch.zeros_like(logits)):
        assert loss(logits, target).device.type == "meta"
        assert loss(logits, target, torch.ones(4, device="meta")).shape == ()


@every_loss
def test_representation_shows_the_parameters(name):
    text = repr(MAKERS[name](reduction="sum"))
    assert text.startswith(type(MAKERS[name]()).__name__)
    assert "reduction='sum'" in text


def test_repr_examples():
    assert repr(SymmetricCrossEntropy()) == (
        "SymmetricCrossEntropy(alpha=0.1, beta=1.0, log_zero=-4.0, reduction='mean')"
    )
    assert repr(ForwardCorrected(T)) == "ForwardCorrected(transition=<3 x 3>, reduction='mean')"


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_devices_without_double_precision(name, seed):
    def refuse(tensor):
        if tensor.dtype == torch.float64:
            raise TypeError("no float64 here")
        return tensor

    logits, codes = _batch(seed, dtype=torch.float32)
    loss = MAKERS[name]()
    wanted = loss(logits, codes)
    loss._apply(refuse)
    assert {buffer.dtype for buffer in loss.buffers()} == {torch.float32}
    torch.testing.assert_close(loss(logits, codes), wanted)


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_reduction_is_checked(error):
    for make in MAKERS.values():
        with pytest.raises(error, match=f"{type(make()).__name__} must be.*'none'.*'average'"):
            make(reduction="average")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GeneralizedCrossEntropy(0), r"'q'.*\(0.0, 1.0\].*Got 0"),
        (lambda: GeneralizedCrossEntropy(1.5), "'q'.*Got 1.5"),
        (lambda: GeneralizedCrossEntropy(float("nan")), "'q'.*Got nan"),
        (lambda: GeneralizedCrossEntropy("much"), "'q'.*'much'"),
        (lambda: GeneralizedCrossEntropy(truncation=1), "'truncation'.*Got 1"),
        (lambda: GeneralizedCrossEntropy(warmup=-1), "'warmup'.*Got -1"),
        (lambda: SymmetricCrossEntropy(-1), "'alpha'.*Got -1"),
        (lambda: SymmetricCrossEntropy(beta=-1), "'beta'.*Got -1"),
        (lambda: SymmetricCrossEntropy(log_zero=0.0), "'log_zero'.*Got 0.0"),
        (lambda: ActivePassiveLoss("rce"), "'active'.*'nce'.*'rce'"),
        (lambda: ActivePassiveLoss(passive="nce"), "'passive'.*'nce'"),
        (lambda: LabelSmoothing(1.0), "'smoothing'.*Got 1.0"),
        (lambda: Bootstrapping(1.1), "'beta'.*Got 1.1"),
        (lambda: Bootstrapping(kind="medium"), "'kind'.*'medium'"),
        (lambda: VolumeMinimizing(1), "'n_classes'.*Got 1"),
        (lambda: VolumeMinimizing(3, penalty=-1), "'penalty'.*Got -1"),
        (lambda: VolumeMinimizing(3, start=float("inf")), "'start'.*Got inf"),
        (lambda: CORES(-1), "'beta'.*Got -1"),
        (lambda: CORES(warmup=1.5), "'warmup'.*Got 1.5"),
        (lambda: CORES(sieve=-1), "'sieve'.*Got -1"),
        (lambda: CORES(floor=1), "'floor'.*Got 1"),
        (lambda: PeerLoss(-0.1), "'alpha'.*Got -0.1"),
        (lambda: SoftDice("hard"), "'kind'.*'hard'"),
        (lambda: SoftDice(gamma=3), "'gamma'.*Got 3"),
        (lambda: SoftDice(smooth=0), "'smooth'.*Got 0"),
        (lambda: TripletAlignment(-0.1), "'margin'.*Got -0.1"),
        (lambda: TripletAlignment(temperature=0), "'temperature'.*Got 0"),
        (lambda: ForwardCorrected([[0.5, 0.4], [0, 1]]), "row 0 sums to 0.9"),
        (lambda: ForwardCorrected([[0.5, 0.5], [0.5, 0.5]]), "singular"),
        (lambda: BackwardCorrected([[0.2, 0.8], [0.8, 0.2]]), "too noisy"),
        (lambda: BackwardCorrected([[1.5, -0.5], [0, 1]]), "negative"),
        (lambda: BackwardCorrected([0.5, 0.5]), "square"),
        (lambda: ForwardCorrected([[1.0]]), "two classes"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    # As while an estimator is fitted, which may construct its loss only then.
    with config_context(skip_parameter_validation=True), pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "args, error, message",
    [
        ((torch.zeros(3), torch.zeros(3).long()), ValueError, r"logits.*got \(3,\)"),
        ((torch.zeros(3, 1), torch.zeros(3).long()), ValueError, r"two classes.*\(3, 1\)"),
        ((torch.zeros(3, 2).long(), torch.zeros(3).long()), TypeError, "logits.*int64"),
        ((torch.zeros(3, 2), torch.zeros(2).long()), ValueError, r"target.*\(3,\).*got \(2,\)"),
        ((torch.zeros(3, 2), torch.zeros(3)), ValueError, r"soft labels.*\(3, 2\).*\(3,\)"),
        ((torch.zeros(3, 2), torch.zeros(3, 2).long()), ValueError, r"codes.*\(3, 2\)"),
        ((torch.zeros(3, 2), torch.zeros(3).bool()), TypeError, "target.*bool"),
        ((torch.zeros(3, 2), torch.tensor([0, 1, 2])), ValueError, "code 2.*2 columns.*0 to 1"),
        ((torch.zeros(3, 2), torch.tensor([0, -1, 1])), ValueError, "code -1"),
        ((torch.zeros(3, 2), [0, 1, 0]), TypeError, "target must be a tensor, got list"),
        (
            (torch.zeros(3, 2), torch.zeros(3).long(), torch.ones(3, 1)),
            ValueError,
            r"sample_weight.*\(3,\).*\(3, 1\)",
        ),
        ((torch.zeros(3, 2), torch.zeros(3).long(), [1, 1, 1]), TypeError, "sample_weight.*list"),
    ],
)
def test_bad_batches(args, error, message):
    with pytest.raises(error, match=message):
        CrossEntropy()(*args)


@pytest.mark.parametrize("name", ["forward", "backward", "volume"])
def test_matrix_of_another_size(name):
    with pytest.raises(ValueError, match="4 columns.*3 classes"):
        MAKERS[name]()(torch.zeros(2, 4), torch.tensor([0, 1]))


def test_base_class_has_no_rows():
    with pytest.raises(TypeError, match="RobustLoss has no per_row"):
        RobustLoss()(torch.zeros(2, 2), torch.tensor([0, 1]))
