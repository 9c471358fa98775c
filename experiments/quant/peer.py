"""Quantization of 64 MB of float32 in PyTorch, compiled, on one thread: what
README.md has beside Trefoil's benchmarks. Needs torch and a C++ compiler.

    python peer.py
"""

import statistics
import time

import torch

torch.set_num_threads(1)
ROWS = COLS = 4096


def ternary(w):
    """b1.58's rule, packed at 2 bits: four codes to a byte, each plus one."""
    gamma = w.abs().mean().clamp(min=1e-5)
    codes = ((w / gamma).round().clamp(-1, 1) + 1).to(torch.uint8).view(ROWS, COLS // 4, 4)
    return codes[..., 0] | codes[..., 1] << 2 | codes[..., 2] << 4 | codes[..., 3] << 6, gamma


def tokens(x):
    """int8 with a scale for each row."""
    scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    return (x / scale).round().clamp(-128, 127).to(torch.int8), scale


def values(packed, gamma):
    """The opposite of ternary."""
    codes = torch.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], -1)
    return (codes.to(torch.float32) - 1).view(ROWS, COLS) * gamma


def measure(name, f, *args):
    f(*args)  # compiles
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        f(*args)
        seconds.append(time.perf_counter() - start)
    print(f"{name:20s} {4 * ROWS * COLS / statistics.median(seconds) / 1e9:6.2f} GB/s", flush=True)


if __name__ == "__main__":
    print("PyTorch", torch.__version__)
    x = torch.randn(ROWS, COLS)
    y = torch.empty_like(x)
    packed, gamma = torch.compile(ternary)(x)
    assert torch.equal(values(packed, gamma), ((x / gamma).round().clamp(-1, 1)) * gamma)
    measure("copy", y.copy_, x)
    measure("ternary, 2 bits", torch.compile(ternary), x)
    measure("int8 a token", torch.compile(tokens), x)
    measure("2 bits to float32", torch.compile(values), packed, gamma)
