"""Where a network lives: devices by name, and what to say when their memory runs out."""

import contextlib

import torch


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
