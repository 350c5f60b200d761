"""What do networks on a GPU make of images whose labels are wrong, and what does it cost?

A ResNet-18 on 25 000 images of CIFAR-10 with the labels of CIFAR-10N ("worse", of which 40 % are
wrong, and "aggre", of which 9 % are): a loop of torch written by hand, plain training with and
without a moving average of the weights, co-teaching, co-teaching on networks with nested dropout,
ELR and its ensemble. Reported: test accuracy on true labels, seconds per epoch, these beside
those of the loop, and the mean utilisation of the GPU. Needs a GPU to be of use.

    python benchmarks/neural_images.py [--epochs 15] [--rows 25000] [--labels worse aggre]
        [--methods ...] [--small]

Killed runs go on where they were; see `_cells.py`. Reads the images from the folder named by
SKROBUST_DATA (default ../shared/data). --small is a small network, to try the script without a GPU.
"""

import argparse
import io
import shutil
import subprocess
import threading
import time
from functools import partial

import numpy as np
import pandas as pd
import torch
from _cells import CACHE, CellStore, chosen
from _common import environment, write_results
from _tables import data_folder
from bench_neural import shuffled
from PIL import Image

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
)
from skrobust.neural._plan import resolve_device
from skrobust.neural.modules import (
    Normalize,
    RandomCropFlip,
    ResNet18,
    SmallCNN,
    make_image_module,
)

BATCH, RATE, DECAY = 128, 0.05, 5e-4
MEAN, SPREAD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
# The share that co-teaching forgets: given, as an estimate would cost more than the training.
FORGET = {"worse": 0.4, "aggre": 0.09}
LOOP = "torch loop"
METHODS = (
    LOOP,
    "plain",
    "plain, average",
    "co-teaching",
    "nested dropout, co-teaching",
    "ELR",
    "ELR ensemble",
)


def read_images(name: str, n_rows: int | None) -> np.ndarray:
    """Decode images, as bytes of shape (n_images, 3, 32, 32)."""
    with np.load(data_folder() / "cifar10n" / f"jpg_{name}.npz") as file:
        data, offsets = file["data"].tobytes(), file["offsets"]
    n_rows = len(offsets) - 1 if n_rows is None else min(n_rows, len(offsets) - 1)
    images = [
        np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]])).convert("RGB"))
        for i in range(n_rows)
    ]
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


class Utilisation(threading.Thread):
    """Asks twice a second how busy the first GPU is."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen: list[float] = []
        self._done = threading.Event()

    def run(self):
        """Ask until told to stop."""
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while shutil.which(query[0]) and not self._done.wait(0.5):
            output = subprocess.run(query, capture_output=True, text=True, check=False).stdout
            if output.strip():
                self.seen.append(float(output.split()[0]))

    def stop(self) -> float | None:
        """Return the mean in percent."""
        self._done.set()
        self.join()
        return round(float(np.mean(self.seen)), 1) if self.seen else None


def make_model(method: str, *, module, n_epochs: int, forget: float):
    """Make a classifier that trains for so many epochs, in its two stages together."""
    half_precision = "bfloat16" if torch.cuda.is_available() else None
    common = {
        "module": module,
        "max_epochs": n_epochs,
        "batch_size": BATCH,
        "optimizer": "sgd",
        "learning_rate": RATE,
        "learning_rate_schedule": "one_cycle",
        "weight_decay": DECAY,
        "early_stopping": False,
        "mixed_precision": half_precision,
        "random_state": 0,
    }
    n_gradual = max(1, n_epochs // 3)
    if method == "nested dropout, co-teaching":
        n_last = max(1, n_epochs // 5)
        first = {**common, "max_epochs": max(1, n_epochs - n_last), "early_stopping": True}
        last = {**common, "max_epochs": n_last, "learning_rate": RATE / 100}
        last["learning_rate_schedule"] = "constant"
        base = NestedDropoutClassifier(**first, n_iter_no_change=None)
        return CoTeachingClassifier(**last, base=base, forget_rate=forget)
    return {
        "plain": NeuralClassifier(**common, ema_decay=None),
        "plain, average": NeuralClassifier(**common, ema_decay=0.998),
        "co-teaching": CoTeachingClassifier(**common, forget_rate=forget, n_gradual=n_gradual),
        "ELR": ELRClassifier(**common, n_gradual=n_gradual),
        "ELR ensemble": ELRClassifier(**common, n_gradual=n_gradual, ensemble=True, mixup=1.0),
    }[method]


def train_by_hand(X, y, *, module, n_epochs: int, device):
    """Train as one would without this package; returns a function that predicts."""
    torch.manual_seed(0)
    X, y = torch.as_tensor(X, device=device), torch.as_tensor(y, device=device).long()
    network = module(tuple(X.shape[1:]), 10).to(device)
    optimizer = torch.optim.SGD(
        network.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=DECAY
    )
    n_steps = n_epochs * -(-len(X) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=n_steps)
    loss_of = torch.nn.CrossEntropyLoss()
    for rows in shuffled(len(X), BATCH, n_epochs, device):
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = loss_of(network(X[rows].float().div_(255)), y[rows])
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()

    @torch.inference_mode()
    def predict(X):
        parts = torch.as_tensor(X, device=device).split(1000)
        return torch.cat([network(part.float() / 255).argmax(1) for part in parts]).cpu().numpy()

    return predict


def measure_cell(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one kind of labels."""
    X, X_test = read_images("train", cell["rows"]), read_images("test", None)
    with np.load(data_folder() / "cifar10n" / "labels.npz") as labels:
        y = labels[f"{cell['labels']}_label"][: len(X)].astype(np.int64)
        truth = labels["test_label"][: len(X_test)]
    network = partial(SmallCNN, width=8) if cell["small"] else ResNet18
    transforms = [RandomCropFlip(), Normalize(MEAN, SPREAD)]
    module = partial(make_image_module, module=network, transforms=transforms)
    device, n_epochs, found = resolve_device("auto"), cell["epochs"], {}
    # The first steps choose kernels and claim memory, whosever they are.
    train_by_hand(X[: 2 * BATCH], y[: 2 * BATCH], module=module, n_epochs=1, device=device)
    for method in methods:
        utilisation = Utilisation()
        utilisation.start()
        started = time.perf_counter()
        if method == LOOP:
            predict = train_by_hand(X, y, module=module, n_epochs=n_epochs, device=device)
        else:
            how = {"module": module, "n_epochs": n_epochs, "forget": FORGET[cell["labels"]]}
            predict = make_model(method, **how).fit(X, y).predict
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - started) / n_epochs
        busy = utilisation.stop()
        accuracy = round(float(np.mean(predict(X_test) == truth)), 4)
        found[method] = {"accuracy": accuracy, "seconds per epoch": round(seconds, 3)}
        found[method]["GPU busy, %"] = busy
        print(cell["labels"], method, found[method], flush=True)
    return found


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per kind of labels and method."""
    rows = []
    for labels, part in frame.groupby("labels", sort=False):
        table = part.set_index("method")
        for method in (m for m in METHODS if m in table.index):
            row = {"labels": labels, "method": method}
            row |= {k: table.loc[method, k] for k in ("accuracy", "seconds per epoch")}
            row["GPU busy, %"] = table.loc[method, "GPU busy, %"]
            if LOOP in table.index:
                ratio = row["seconds per epoch"] / table.loc[LOOP, "seconds per epoch"]
                row["times the loop"] = round(float(ratio), 3)
            rows.append(row)
    return rows


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rows", type=int, default=25_000)
    parser.add_argument("--labels", nargs="+", default=["worse", "aggre"], choices=list(FORGET))
    parser.add_argument("--methods", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--small", action="store_true", help="a small network")
    parser.add_argument("--fresh", action="store_true", help="forget all earlier measurements")
    options = parser.parse_args()
    cells = [
        {"labels": labels, "rows": options.rows, "epochs": options.epochs, "small": options.small}
        for labels in options.labels
    ]
    store = CellStore("neural_images", overwrite=options.fresh)
    methods = chosen(METHODS, options.methods)
    # A method at a time, so that each is on disk when it is done.
    for method in methods:
        store.run(cells, lambda cell, method=method: [method], measure_cell)
    where = {**environment(), "epochs": options.epochs, "rows": options.rows}
    where["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    folder = CACHE if options.small or not torch.cuda.is_available() else None
    write_results(
        "neural_images", summarise(pd.DataFrame(store.records(cells))), where, folder=folder
    )


if __name__ == "__main__":
    main()
