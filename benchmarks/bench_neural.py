"""What does an epoch cost, beside a hand-written torch loop and skorch's default?

An MLP of 256 and 128 hidden units, Adam, batches of 256, on the device that is there. In turn, in
one process: a plain loop that takes batches as slices of a permutation of tensors, with the fused
Adam; ``skorch.NeuralNetClassifier`` with its default data loader; NeuralClassifier; and
co-teaching. Seconds per epoch of a whole fit, all that is done once included, and seconds to
predict all rows. As other work on the machine only ever adds time, ratios are those of the
fastest of all repeats; the median of the ratios of neighbours stands beside them.

    python benchmarks/bench_neural.py [--repeats 9] [--epochs 5] [--device auto]
"""

import argparse
import time

import numpy as np
import torch
from _common import environment, write_results
from skorch import NeuralNetClassifier

from skrobust.neural import CoTeachingClassifier, NeuralClassifier
from skrobust.neural._plan import resolve_device
from skrobust.neural.modules import MLP

SHAPES = ((100_000, 50), (20_000, 20))
N_CLASSES, BATCH = 10, 256
TARGETS = {
    "ours / plain torch": 1.1,
    "skorch / ours": 1.6,
    "skorch / ours, predicting": 5.0,
    "co-teaching / ours": 1.9,
}


def shuffled(n_rows: int, batch_size: int, n_epochs: int, device):
    """Yield the positions of each batch of each epoch."""
    for _ in range(n_epochs):
        yield from torch.randperm(n_rows, device=device).split(batch_size)


def plain_torch(X, y, n_epochs, device) -> None:
    """Train by hand."""
    X, y = torch.as_tensor(X, device=device), torch.as_tensor(y, device=device)
    module = MLP(X.shape[1], N_CLASSES).to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()
    for rows in shuffled(len(X), BATCH, n_epochs, device):
        optimizer.zero_grad()
        loss_of(module(X[rows]), y[rows]).backward()
        optimizer.step()


def skorch_default(X, y, n_epochs, device):
    """Train by skorch, as its documentation begins; without its split for validation."""
    net = NeuralNetClassifier(
        MLP(X.shape[1], N_CLASSES),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=BATCH,
        max_epochs=n_epochs,
        train_split=None,
        verbose=0,
        device=str(device),
    )
    return net.fit(X, y)


def ours(X, y, n_epochs, device, cls=NeuralClassifier, **params):
    """Train by this package."""
    model = cls(
        max_epochs=n_epochs,
        batch_size=BATCH,
        early_stopping=False,
        device=str(device),
        random_state=0,
        **params,
    )
    return model.fit(X, y)


def co_teaching(X, y, n_epochs, device):
    """Train two networks."""
    return ours(X, y, n_epochs, device, CoTeachingClassifier, forget_rate=0.2)


TRAINERS = {
    "plain torch": plain_torch,
    "skorch default": skorch_default,
    "NeuralClassifier": ours,
    "CoTeachingClassifier": co_teaching,
}


def seconds(function, device) -> float:
    """Time a call, until the device has done its work."""
    started = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(shape, n_epochs, n_repeats, device) -> list[dict]:
    """Measure one table."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape).astype(np.float32)
    y = rng.integers(N_CLASSES, size=shape[0])
    times: dict = {name: [] for name in TRAINERS}
    predicting: dict = {"skorch default": [], "NeuralClassifier": []}
    for _ in range(n_repeats):
        for name, train in TRAINERS.items():
            whole = seconds(lambda: train(X, y, n_epochs, device), device)  # noqa: B023
            times[name].append(whole / n_epochs)
        for name, found in predicting.items():
            model = TRAINERS[name](X, y, 1, device)
            model.predict_proba(X[:1000])
            found.append(seconds(lambda: model.predict_proba(X), device))  # noqa: B023
    times = {name: np.array(found) for name, found in times.items()}
    times |= {f"{name}, predicting": np.array(found) for name, found in predicting.items()}
    pairs = {
        "ours / plain torch": ("NeuralClassifier", "plain torch"),
        "skorch / ours": ("skorch default", "NeuralClassifier"),
        "skorch / ours, predicting": ("skorch default, predicting", "NeuralClassifier, predicting"),
        "co-teaching / ours": ("CoTeachingClassifier", "NeuralClassifier"),
    }
    where = f"{shape[0]} x {shape[1]}"
    rows = [
        {"rows": where, "what": f"{name}, s", "fastest": round(float(found.min()), 4)}
        for name, found in times.items()
    ]
    for name, (above, below) in pairs.items():
        above, below = times[above], times[below]
        row = {"rows": where, "what": name, "fastest": round(float(above.min() / below.min()), 3)}
        row["median"] = round(float(np.median(above / below)), 3)
        sign = ">=" if name.startswith("skorch") else "<="
        rows.append({**row, "target": f"{sign} {TARGETS[name]}"})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = resolve_device(options.device)
    rows = []
    for shape in SHAPES:
        rows += measure(shape, options.epochs, options.repeats, device)
    name = "bench_neural" if device.type == "cpu" else f"bench_neural_{device.type}"
    where = environment()
    if device.type == "cuda":
        where["device"] = torch.cuda.get_device_name(device)
    else:
        where["threads"] = torch.get_num_threads()
    write_results(name, rows, where)


if __name__ == "__main__":
    main()
