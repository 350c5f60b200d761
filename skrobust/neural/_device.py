"""Where a network lives: devices by name, and what to say when their memory runs out."""

import contextlib
import threading

import torch

# Multiplications per batch below which two threads wait for each other longer than they compute.
_SMALL_BATCH = 5e8


def resolve_device(device) -> torch.device:
    """Turn the parameter `device` into a device that is there.

    Parameters
    ----------
    device : str or torch.device
        "auto" is CUDA, else MPS, else the CPU.

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    ValueError
        If torch knows no such device, or it is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is no device of torch: use 'auto', 'cpu', 'cuda' or 'mps'."
        ) from error
    missing = (found.type == "cuda" and not torch.cuda.is_available()) or (
        found.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ValueError(f"device={device!r} is not there on this machine: use 'auto' or 'cpu'.")
    if found.type == "cuda":
        found = torch.device("cuda", 0 if found.index is None else found.index)
        if found.index >= torch.cuda.device_count():
            raise ValueError(
                f"device={device!r} is not there: this machine has {torch.cuda.device_count()}"
                " CUDA devices, counted from 0."
            )
    return found


_threads_lock = threading.Lock()


@contextlib.contextmanager
def _one_thread():
    """Limit the calling thread to one thread of torch, then restore its own number.

    Each thread has its own number, and torch keeps another one that threads start with. Setting
    the first sets both, so that a thread of its own restores the second at once: a thread that
    starts meanwhile must not inherit the limit.
    """
    with _threads_lock:
        before = torch.get_num_threads()
        if before > 1:
            torch.set_num_threads(1)
            other = threading.Thread(target=torch.set_num_threads, args=(before,))
            other.start()
            other.join()
    try:
        yield
    finally:
        if before > 1:
            torch.set_num_threads(before)


def threads_for(module: torch.nn.Module, device: torch.device, rows, batch_size: int):
    """Return a context in which torch takes as many threads as its products are worth.

    Parameters
    ----------
    module : Module
        The network.
    device : torch.device
        Where it is.
    rows : Tensor-like with a shape
        Input; a network of one vector per row multiplies each parameter once per row.
    batch_size : int
        Rows per batch.

    Returns
    -------
    context : context manager
        One thread on the CPU where batches are small, else the caller's number of threads.
    """
    n_parameters = sum(parameter.numel() for parameter in module.parameters())
    small = len(rows.shape) == 2 and n_parameters * batch_size < _SMALL_BATCH
    return _one_thread() if device.type == "cpu" and small else contextlib.nullcontext()


@contextlib.contextmanager
def own_generators(device: torch.device, seed: int):
    """Seed torch's generators, and give the caller's back afterwards.

    Parameters
    ----------
    device : torch.device
        The device whose generator is used besides the CPU's.
    seed : int
        Seed.
    """
    devices = [] if device.type == "cpu" else [device.index or 0]
    kind = "cuda" if device.type == "cpu" else device.type
    with torch.random.fork_rng(devices, device_type=kind):
        # torch.manual_seed would seed all devices, and only these are given back.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.default_generators[device.index or 0].manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


@contextlib.contextmanager
def explain_out_of_memory(what: str):
    """Say which parameter to lower where the memory of the device runs out.

    Parameters
    ----------
    what : str
        What was going on, with its size, and what to do: a sentence.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise torch.OutOfMemoryError(f"{what} torch says: {error}") from error
