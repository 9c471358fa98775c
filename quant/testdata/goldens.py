"""Writes goldens.json: what other implementations make of the same numbers.

    python -m venv venv
    venv/bin/pip install numpy scipy torch torchao transformers brevitas bitsandbytes nvidia-modelopt "dependencies==2.0.1"
    venv/bin/python goldens.py

Each case names its source. Where a library has the rule, the library computes
it; the others are computed with NumPy or PyTorch from the papers' definitions,
by another way than package quant takes (brute force for searches, automatic
differentiation for gradients). The versions used are in the file.
"""
import importlib.metadata
import json
import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import bitsandbytes.functional as bnb
import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFixedPoint
from modelopt.torch.quantization.calib.histogram import _compute_amax_entropy
from scipy import optimize, special
from scipy.stats import entropy as kl_entropy
from torch.ao.quantization import observer
from torchao.prototype.paretoq.models.utils_quant import LsqBinaryTernaryExtension, StretchedElasticQuant
from torchao.prototype.smoothquant.core import SmoothQuantObserver
from torchao.quantization import quant_primitives as ao
from transformers.integrations.bitnet import ActQuant, WeightQuant

F = np.float32
cases = []


def numbers(n, seed):
    """Peaked numbers with a heavy tail, exact in float32: see numbers in goldens_test.go."""
    out, state = np.zeros(n, F), seed
    for i in range(n):
        parts = []
        for _ in range(3):
            state = (state * 1103515245 + 12345) % 2**31
            parts.append(state >> 21)
        a, b, c = parts
        out[i] = F((1 if c % 2 else -1) * a * b) / F(2**18)
    return out


def case(name, source, config, shape, codes, scales, zeros=None, ulps=0, seed=1):
    cases.append({
        "name": name, "source": source, "config": config, "shape": list(shape), "seed": seed,
        "codes": np.asarray(codes).reshape(-1).astype(int).tolist(),
        "scales": [float(F(s)) for s in np.asarray(scales).reshape(-1)],
        "zeros": None if zeros is None else np.asarray(zeros).reshape(-1).astype(int).tolist(),
        "ulps": ulps,
    })


def array(*shape, seed=1):
    return numbers(int(np.prod(shape)), seed).reshape(shape)


# --- ternary and binary ---------------------------------------------------
w = array(12, 40)
t = torch.from_numpy(w)
gamma = t.abs().mean().clamp(min=1e-5)
case("b1.58 weights", "transformers WeightQuant", {"bits": 1.58}, w.shape,
     torch.round(WeightQuant.apply(t) / gamma), [gamma], ulps=1)
scale = t.abs().max(dim=-1).values / 127
case("b1.58 activations", "transformers ActQuant", {"bits": 8, "granularity": "token"}, w.shape,
     torch.round(ActQuant.apply(t) / scale[:, None]), scale)


def ternary(name, scale, cut=None, ulps=0, source="NumPy"):
    cut = scale / 2 if cut is None else cut
    case(name, source, {"bits": 1.58, "scale": name}, w.shape, np.sign(w) * (np.abs(w) > cut), [scale], ulps=ulps)


a = np.abs(w).astype(np.float64).reshape(-1)
ternary("median", F(np.sort(np.abs(w).reshape(-1))[(a.size - 1) // 2]), source="NumPy sort")
ternary("rms", np.sqrt(np.mean(a**2)), ulps=1)
delta = 0.7 * a.mean()
ternary("twn", a[a > delta].mean(), delta, ulps=1)
delta = 0.05 * a.max()
ternary("ttq", a[a > delta].mean(), delta, ulps=1)
best = min((np.sum((a - (a > c) * a[a > c].mean()) ** 2), c) for c in np.unique(a)[:-1])
ternary("optimal", a[a > best[1]].mean(), best[1], ulps=1, source="NumPy, every threshold tried")
case("XNOR", "NumPy", {"bits": 1}, w.shape, np.where(w > 0, 1, -1), [a.mean()], ulps=1)
case("centred", "NumPy", {"bits": 1, "scale": "centred"}, w.shape,
     np.where(w > w.astype(np.float64).mean(), 1, -1), [a.mean()], ulps=1)
rows = [F(np.abs(r).astype(np.float64).mean()) for r in w]
case("ternary rows", "NumPy", {"bits": 1.58, "granularity": "channel"}, w.shape,
     np.clip(np.round(w / np.array(rows)[:, None]), -1, 1), rows, ulps=1)

# --- uniform grids of libraries -------------------------------------------
obs = observer.MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_affine)
obs(t)
s, z = obs.calculate_qparams()
case("affine 8 bits", "torch MinMaxObserver, quantize_per_tensor", {"bits": 8, "scheme": "affine"}, w.shape,
     torch.quantize_per_tensor(t, float(s), int(z), torch.qint8).int_repr(), s, z)

obs = observer.PerChannelMinMaxObserver(ch_axis=1, dtype=torch.qint8, qscheme=torch.per_channel_affine, quant_min=-8, quant_max=7)
obs(t)
s, z = obs.calculate_qparams()
codes = torch.clamp(torch.round(t * (1 / s)) + z, -8, 7)
case("affine 4 bits, axis 1", "torch PerChannelMinMaxObserver",
     {"bits": 4, "scheme": "affine", "granularity": "channel", "axis": 1}, w.shape, codes, s, z)

obs = observer.MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric, quant_min=-127, quant_max=127)
obs(t)
s, z = obs.calculate_qparams()
case("narrow 8 bits", "torch MinMaxObserver, quantize_per_tensor", {"bits": 8, "codes": "narrow"}, w.shape,
     torch.quantize_per_tensor(t, float(s), 0, torch.qint8).int_repr(), s)


def torchao_case(name, mapping, block, config, lo, hi):
    s, z = ao.choose_qparams_affine(t, mapping, block, torch.int8, lo, hi, eps=1e-7)
    codes = ao.quantize_affine(t, block, s, z, torch.int8, lo, hi)
    affine = mapping == ao.MappingType.ASYMMETRIC
    case(name, "torchao choose_qparams_affine, quantize_affine", config, w.shape, codes, s, z if affine else None)


torchao_case("groups of 8, 4 bits affine", ao.MappingType.ASYMMETRIC, (1, 8),
             {"bits": 4, "scheme": "affine", "granularity": "group", "group": 8}, -8, 7)
torchao_case("blocks of 4 x 10, 8 bits narrow", ao.MappingType.SYMMETRIC, (4, 10),
             {"bits": 8, "codes": "narrow", "granularity": "block", "block": [4, 10]}, -127, 127)
torchao_case("tokens, 3 bits narrow", ao.MappingType.SYMMETRIC, (1, 40),
             {"bits": 3, "codes": "narrow", "granularity": "token"}, -3, 3)


def brevitas_case(name, quantizer, config):
    layer = qnn.QuantLinear(40, 12, bias=False, weight_quant=quantizer)
    layer.weight.data = t.clone()
    q = layer.quant_weight()
    case(name, "Brevitas " + quantizer.__name__, config, w.shape, q.int(), q.scale.detach())


brevitas_case("power of two", Int8WeightPerTensorFixedPoint, {"bits": 8, "codes": "narrow", "scale_type": "power-of-two"})
brevitas_case("narrow channels", Int8WeightPerChannelFloat, {"bits": 8, "codes": "narrow", "granularity": "channel"})

brevitas_case("7 bits, narrow channels", Int8WeightPerChannelFloat.let(bit_width=7),
              {"bits": 7, "codes": "narrow", "granularity": "channel"})
torchao_case("groups of 10, 5 bits affine", ao.MappingType.ASYMMETRIC, (1, 10),
             {"bits": 5, "scheme": "affine", "granularity": "group", "group": 10}, -16, 15)
torchao_case("tokens, 6 bits narrow", ao.MappingType.SYMMETRIC, (1, 40),
             {"bits": 6, "codes": "narrow", "granularity": "token"}, -31, 31)


def full_case(name, bits, config):
    """A full symmetric grid: PyTorch's own observers divide by levels/2, so the scale is NumPy's."""
    top = 2 ** (bits - 1) - 1
    scale = max(-min(w.min(), F(0)), max(w.max(), F(0))) / F(top)
    values = torch.fake_quantize_per_tensor_affine(t, float(scale), 0, -top - 1, top)
    case(name, "NumPy scale, torch fake_quantize_per_tensor_affine", {"bits": bits, **config}, w.shape, np.rint(values.numpy() / scale), [scale])


for bits in (5, 6, 7):
    full_case(f"full {bits} bits", bits, {})
full_case("symmetric min-max", 8, {"scale": "minmax"})

# --- where learned scales begin -----------------------------------------------
# LSQ: 2 mean|W| / sqrt(Qp), by row, NumPy; the codes are those of ParetoQ in torchao.
# SEQ: max|W|, by row, as ParetoQ's training script sets it; its codes are those values
# divided by alpha and multiplied by as many levels as half the range has, doubled
# where they are halves.
for bits in (1.58, 3, 4, 8):
    top = 1 if bits == 1.58 else 2 ** (bits - 1) - 1
    step = np.array([F(2 * np.abs(r).astype(np.float64).mean() / top**0.5) for r in w])
    s = torch.from_numpy(step)[:, None]
    y = LsqBinaryTernaryExtension.apply(t, s, 0 if bits == 1.58 else bits, False)
    case(f"lsq start, {bits} bits", "NumPy scale, torchao LsqBinaryTernaryExtension", {"bits": bits, "scale": "lsq", "granularity": "channel"},
         w.shape, torch.round(y / s), step, ulps=1)
for bits in (1.58, 2, 3, 4, 7):
    alpha = t.abs().max(dim=-1, keepdim=True).values
    y = StretchedElasticQuant.apply(t, alpha, 0 if bits == 1.58 else bits, False)
    levels = 3 if bits == 1.58 else 2**bits
    codes = y / alpha * (levels / 2 if bits == 1.58 else levels)
    case(f"seq start, {bits} bits", "torchao StretchedElasticQuant", {"bits": bits, "scale": "seq", "granularity": "channel"},
         w.shape, torch.round(codes), alpha * (2 / levels if bits == 1.58 else 1 / levels), ulps=1 if bits == 1.58 else 0)

amax = np.abs(w).max()
half = F(np.float16(F(amax) / F(7)))
case("float16 scale", "NumPy float16", {"bits": 4, "scale_type": "float16"}, w.shape,
     np.clip(np.round(w * (F(1) / half)), -8, 7), [half])

# --- rounding ---------------------------------------------------------------
for name, fn in {"half-away": lambda v: np.sign(v) * np.floor(np.abs(v) + 0.5), "floor": np.floor, "ceil": np.ceil}.items():
    v = (w * (F(7) / F(amax))).astype(np.float64)
    case("rounding " + name, "NumPy", {"bits": 4, "rounding": name}, w.shape, np.clip(fn(v), -8, 7), [F(amax) / F(7)])


# --- ranges -----------------------------------------------------------------
def symmetric(x, bound, top):
    bound = F(bound)
    return np.clip(np.round(x * (F(top) / bound)), -top - 1, top), bound / F(top)


def ranged(name, x, bound, bits, config=None, ulps=0, source="NumPy", seed=1):
    codes, scale = symmetric(x, bound, 2 ** (bits - 1) - 1)
    case(name, source, {"bits": bits, **(config or {"scale": name})}, x.shape, codes, [scale], ulps=ulps, seed=seed)


big = array(3000, seed=7)
mag = np.abs(big)
ranged("percentile", big, np.percentile(mag, 99, method="inverted_cdf"), 4, {"scale": "percentile", "percentile": 99},
       source="NumPy percentile, inverted_cdf", seed=7)
mean, sigma = big.astype(np.float64).mean(), big.astype(np.float64).std()
ranged("sigma", big, abs(mean) + 2.5 * sigma, 4, {"scale": "sigma", "sigmas": 2.5}, ulps=1, seed=7)


def normal_error(v, bits):
    return (1 + v**2) * special.erfc(v / 2**0.5) + v**2 / 3 / 4**bits - (2 / np.pi) ** 0.5 * v * np.exp(-(v**2) / 2)


def laplace_error(v, bits):
    return 2 * np.exp(-v) + v**2 / 3 / 4**bits


aciq = {}
for rule, error in {"aciq-gaussian": normal_error, "aciq-laplace": laplace_error}.items():
    for bits in (2, 3, 4, 8):
        r = optimize.minimize_scalar(error, bounds=(0.5, 40), args=(bits,), method="bounded", options={"xatol": 1e-12})
        aciq.setdefault(rule, {})[str(bits)] = r.x
deviation = np.abs(big.astype(np.float64) - mean).mean()
aciq_bounds = {"aciq-gaussian": abs(mean) + aciq["aciq-gaussian"]["4"] * sigma,
               "aciq-laplace": min(abs(mean) + aciq["aciq-laplace"]["4"] * deviation, mag.max())}


def searched(x, bits, loss):
    best = None
    for i in range(100, 0, -1):
        codes, scale = symmetric(x, F(i) / F(100) * np.abs(x).max(), 2 ** (bits - 1) - 1)
        e = loss(codes, scale)
        if best is None or e < best[0]:
            best = (e, F(i) / F(100) * np.abs(x).max())
    return best[1]


small = array(480)
for bits in (2, 4):
    ranged("mse", small, searched(small, bits, lambda c, s: np.sum((small.astype(np.float64) - c.astype(np.float64) * np.float64(s)) ** 2)), bits,
           source="NumPy, every range tried")
    ranged("entropy", small, searched(small, bits, lambda c, s: -kl_entropy(np.unique(c, return_counts=True)[1])), bits,
           source="NumPy and SciPy, every range tried")


edges = np.linspace(0, float(mag.max()), 2049)
counts = np.bincount(np.minimum((mag.astype(np.float64) * (2048 / float(mag.max()))).astype(int), 2047), minlength=2048)
for bits in (4, 8):
    bound = _compute_amax_entropy(counts.copy(), edges, bits, False, start_bin=2 ** (bits - 1))
    ranged("kl", big, float(bound), bits, source="NVIDIA Model Optimizer, the calibration of TensorRT", ulps=1, seed=7)


# --- ranges of affine grids: PyTorch's formula for the range, NumPy for where it ends --
def affine_codes(x, lo, hi, bits):
    lo, hi, top = F(min(lo, 0)), F(max(hi, 0)), 2 ** (bits - 1) - 1
    scale = (hi - lo) / F(2**bits - 1)
    zero = np.clip(-top - 1 - np.round(lo / scale), -top - 1, top)
    return np.clip(np.round(x * (F(1) / scale)) + zero, -top - 1, top), scale, zero


def affine_case(rule, x, lo, hi, bits, config=None, ulps=0, seed=1):
    codes, scale, zero = affine_codes(x, lo, hi, bits)
    case(rule + " affine", "NumPy", {"bits": bits, "scheme": "affine", "scale": rule, **(config or {})}, x.shape, codes, [scale], [zero], ulps, seed)


highest = np.percentile(big, 99.5, method="inverted_cdf")
lowest = -np.percentile(-big, 99.5, method="inverted_cdf")
affine_case("percentile", big, lowest, highest, 4, {"percentile": 99}, seed=7)
affine_case("sigma", big, mean - 1.5 * sigma, mean + 1.5 * sigma, 4, {"sigmas": 1.5}, ulps=2, seed=7)
affine_case("aciq-gaussian", big, mean - aciq["aciq-gaussian"]["4"] * sigma, mean + aciq["aciq-gaussian"]["4"] * sigma, 4, ulps=2, seed=7)

# ACIQ's Laplace rule at so few bits that its bound lies inside the numbers.
width = aciq["aciq-laplace"]["2"] * deviation
assert abs(mean) + width < 0.9 * mag.max()
ranged("aciq-laplace", big, abs(mean) + width, 2, ulps=2, seed=7)
affine_case("aciq-laplace", big, mean - width, mean + width, 2, ulps=2, seed=7)

# Affine grids without their lowest code, and with scales of a type: the zero
# point is that of the rounded scale.
w_lo, w_hi = F(min(w.min(), 0)), F(max(w.max(), 0))


def typed_case(name, scale, lo, hi, config):
    zero = np.clip(lo - np.round(w_lo / scale), lo, hi)
    case(name, "NumPy", {"scheme": "affine", **config}, w.shape, np.clip(np.round(w * (F(1) / scale)) + zero, lo, hi), [scale], [zero])


for bits, top in ((3, 3), (8, 127)):
    typed_case(f"affine narrow, {bits} bits", (w_hi - w_lo) / F(2 * top), -top, top, {"bits": bits, "codes": "narrow"})
for bits in (3, 8):
    exact, top = (w_hi - w_lo) / F(2**bits - 1), 2 ** (bits - 1) - 1
    power = F(2.0 ** np.ceil(np.log2(np.float64(exact))))
    assert np.round(w_lo / power) != np.round(w_lo / exact)  # so that the old zero point would be wrong
    typed_case(f"affine power of two, {bits} bits", power, -top - 1, top, {"bits": bits, "scale_type": "power-of-two"})
    typed_case(f"affine float16, {bits} bits", F(np.float16(exact)), -top - 1, top, {"bits": bits, "scale_type": "float16"})


def searched_affine(x, bits, loss):
    lo, hi, best = x.min(), x.max(), None
    for i in range(100, 0, -1):
        f = F(i) / F(100)
        codes, scale, zero = affine_codes(x, f * lo, f * hi, bits)
        e = loss(codes, scale, zero)
        if best is None or e < best[0]:
            best = (e, f)
    return best[1] * lo, best[1] * hi


for bits in (2, 4):
    lo, hi = searched_affine(small, bits, lambda c, s, z: np.sum((small.astype(np.float64) - (c - z).astype(np.float64) * np.float64(s)) ** 2))
    affine_case("mse", small, lo, hi, bits)
    lo, hi = searched_affine(small, bits, lambda c, s, z: -kl_entropy(np.unique(c, return_counts=True)[1]))
    affine_case("entropy", small, lo, hi, bits)

# --- learned scales: PyTorch differentiates the forward rule ------------------
x, dy = array(64, seed=3), array(64, seed=5)


def through(v):  # rounds, with the gradient 1
    return v + (torch.round(v) - v).detach()


def learned(kind, bits, start, forward, grad_scale):
    p, xt = torch.tensor(F(start), requires_grad=True), torch.from_numpy(x).clone().requires_grad_()
    y = forward(xt, p)
    y.backward(torch.from_numpy(dy))
    return {"kind": kind, "bits": bits, "param": float(p), "y": y.tolist(), "dx": xt.grad.tolist(), "dparam": float(p.grad) * grad_scale}


def lsq(lo, hi):
    return lambda v, s: through(torch.clamp(v / s, lo, hi)) * s


def authors(kind, bits, start, rule):
    """The authors' own gradients: those of ParetoQ, which torchao ships.

    Not for the ternary SEQ: there the code counts a clipped weight as 1, where
    the paper's formula has its level, 2/3.
    """
    p, xt = torch.tensor([F(start)], requires_grad=True), torch.from_numpy(x).clone().requires_grad_()
    y = rule.apply(xt, p, 0 if bits == 1.58 else bits, True)
    y.backward(torch.from_numpy(dy))
    return {"kind": kind, "bits": bits, "param": float(p), "y": y.tolist(), "dx": xt.grad.tolist(), "dparam": float(p.grad)}


def seq(levels, shift):
    return lambda v, s: (through(torch.clamp(v / s, -0.99, 0.99) * levels - shift) + shift) / levels * s


gradients = [
    learned("lsq", 1.58, 0.3, lsq(-1, 1), 1 / 64**0.5),
    learned("lsq", 4, 0.07, lsq(-8, 7), 1 / (64 * 7) ** 0.5),
    learned("seq", 1.58, 0.5, seq(1.5, 0), 1 / 64**0.5),
    learned("seq", 2, 0.5, seq(2, 0.5), 1 / 64**0.5),
    authors("lsq", 1.58, 0.4, LsqBinaryTernaryExtension),
    authors("lsq", 3, 0.11, LsqBinaryTernaryExtension),
    authors("seq", 2, 0.6, StretchedElasticQuant),
    authors("seq", 4, 0.7, StretchedElasticQuant),
    learned("pact", 0, 0.4, lambda v, s: torch.minimum(torch.relu(v), s), 1),
]

# --- LLM.int8, SmoothQuant, Hadamard, metrics ----------------------------------
from scipy.linalg import hadamard

m = array(4, 16, seed=9)
halves = torch.from_numpy(m).half()
codes, peaks, columns = bnb.int8_vectorwise_quant(halves, threshold=3.0)
assert 0 < len(columns) < 16
smoothing = SmoothQuantObserver(torch.from_numpy(array(8, 16, seed=11)), alpha=0.6)
smoothing(torch.from_numpy(m))
out = {
    "versions": {p: importlib.metadata.version(p) for p in ("numpy", "scipy", "torch", "torchao", "transformers", "brevitas", "bitsandbytes", "nvidia-modelopt")},
    "cases": cases,
    "gradients": gradients,
    "aciq": aciq,
    "aciq_bounds": {k: float(v) for k, v in aciq_bounds.items()},
    "hadamard": (m @ (hadamard(16) / 4)).reshape(-1).tolist(),
    "llm_int8": {"columns": columns.tolist(), "codes": codes.reshape(-1).tolist(), "peaks": peaks.tolist()},
    "smooth": smoothing.calculate_qparams()[0].tolist(),
}
averaged = observer.MovingAverageMinMaxObserver(averaging_constant=0.1, dtype=torch.qint8)
for i in range(5):
    averaged(torch.from_numpy(array(50, seed=20 + i)))
out["moving_average"] = [float(averaged.min_val), float(averaged.max_val)]

# Metrics of the 4-bit absmax codes of x.
codes, scale = symmetric(x, np.abs(x).max(), 7)
y64, x64 = (codes * scale).astype(np.float64), x.astype(np.float64)
share = np.unique(codes, return_counts=True)[1] / codes.size
limit = np.abs(x64).max()
p, q = (np.bincount(np.minimum(((v / limit + 1) / 2 * 256).astype(int), 255), minlength=256) + 1.0 for v in (x64, y64))
db = 10 * np.log10(np.sum(x64**2) / np.sum((x64 - y64) ** 2))
out["metrics"] = {"mse": np.mean((x64 - y64) ** 2), "sqnr_db": db, "cosine": x64 @ y64 / np.linalg.norm(x64) / np.linalg.norm(y64),
                  "kl": kl_entropy(p, q), "max_error": np.abs(x64 - y64).max(), "zeros": np.mean(codes == 0),
                  "entropy": -np.sum(share * np.log2(share)), "effective_bits": (db - 1.76) / 6.02}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "goldens.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
