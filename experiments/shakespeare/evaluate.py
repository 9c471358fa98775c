"""Evaluates checkpoints of this study in PyTorch, as an independent check:

    python evaluate.py tinyshakespeare.txt ../../runs/shakespeare/*

For each run it prints the loss on the run's own fixed windows, which must be
that of its last line, and on 1,200 windows drawn at random from the last tenth
of the text. Runs whose folder's name begins with float32 are not quantized; in
those with median in it that is the scale of the weights, else the mean.
"""
import json, os, struct, sys

import torch
import torch.nn.functional as F

HEADS, CONTEXT, EPS = 4, 64, 1e-5


def tensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        start = f.tell()
        kinds = {"F32": torch.float32, "I32": torch.int32}
        for name, t in header.items():
            if name == "__metadata__" or t["dtype"] not in kinds:
                continue
            f.seek(start + t["data_offsets"][0])
            data = bytearray(f.read(t["data_offsets"][1] - t["data_offsets"][0]))
            yield name, torch.frombuffer(data, dtype=kinds[t["dtype"]]).view(t["shape"])


def linear(x, w, scale):
    if scale is None:
        return x @ w.T
    gamma = scale(w.abs()).clamp(min=1e-5)
    step = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    codes, ternary = (x / step).round().clamp(-128, 127), (w / gamma).round().clamp(-1, 1)
    return codes @ ternary.T * (step * gamma)


def norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * gain


def rotate(x):
    head = x.shape[-1]
    angles = torch.outer(torch.arange(CONTEXT).float(), 10000.0 ** (-torch.arange(0, head, 2).float() / head))
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)


def loss(w, windows, scale):
    x = w["embedding"][windows[:, :-1]]
    rows, _, dim = x.shape
    i = 0
    while f"blocks.{i}.attention.q" in w:
        at, ff = f"blocks.{i}.attention.", f"blocks.{i}.ffn."
        h = norm(x, w[at + "norm"])
        q, k, v = (linear(h, w[at + n], scale).view(rows, CONTEXT, HEADS, -1).transpose(1, 2) for n in "qkv")
        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True).transpose(1, 2).reshape(rows, CONTEXT, dim)
        x = x + linear(norm(y, w[at + "sub_norm"]), w[at + "o"], scale)
        h = norm(x, w[ff + "norm"])
        h = F.silu(linear(h, w[ff + "gate"], scale)) * linear(h, w[ff + "up"], scale)
        x = x + linear(norm(h, w[ff + "sub_norm"]), w[ff + "down"], scale)
        i += 1
    logits = norm(x, w["norm"]) @ w["embedding"].T
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()


def mean(w, windows, scale):
    parts = windows.long().split(100)
    return sum(loss(w, p, scale) * len(p) for p in parts) / len(windows)


def main():
    text = open(sys.argv[1]).read()
    ids = {c: i for i, c in enumerate(sorted(set(text)))}
    heldout = torch.tensor([ids[c] for c in text[int(0.9 * len(text)):]])
    torch.manual_seed(99)
    starts = torch.randint(len(heldout) - CONTEXT, (1200,))
    random = heldout[starts[:, None] + torch.arange(CONTEXT + 1)]
    for run in sys.argv[2:]:
        name = os.path.basename(os.path.normpath(run))
        w = dict(tensors(os.path.join(run, "checkpoints", "last.safetensors")))
        fixed = dict(tensors(os.path.join(run, "evaluation.safetensors")))["heldout"].view(-1, CONTEXT + 1)
        scale = None if name.startswith("float32") else torch.median if "median" in name else torch.mean
        print(f"{name:20} fixed windows {mean(w, fixed, scale):.4f}, random windows {mean(w, random, scale):.4f}", flush=True)


with torch.no_grad():
    main()
