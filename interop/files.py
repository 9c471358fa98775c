"""Reads and writes GGUF and safetensors files by their own packages.

usage: files.py read FILE OUT     all tensors of FILE as float32 to OUT, a safetensors file
       files.py write FOLDER      random tensors of every type to FOLDER/written.gguf and written.safetensors,
                                  with their values as float32 in FOLDER/values.safetensors
"""
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file, save_file

TYPES = ('F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'TQ1_0', 'TQ2_0')
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)


def read_gguf(path):
    out = {}
    for t in gguf.GGUFReader(path).tensors:
        values = dequantize(t.data, t.tensor_type).astype(np.float32)
        out[t.name] = torch.from_numpy(values.reshape(tuple(int(n) for n in reversed(t.shape))).copy())
    return out


def read(path, out):
    tensors = read_gguf(path) if path.endswith('.gguf') else load_file(path)
    save_file({name: t.float().contiguous() for name, t in tensors.items()}, out)


def write(folder):
    rng, values = np.random.default_rng(3), {}
    writer = gguf.GGUFWriter(folder / 'written.gguf', 'llama')
    writer.add_uint32('trefoil.count', 7)
    writer.add_array('trefoil.words', ['naïve', '世界', ''])
    for name in TYPES:
        type_ = gguf.GGMLQuantizationType[name]
        x = rng.standard_normal((3, 512)).astype(np.float32)
        if name.startswith('TQ'):
            x = rng.integers(-1, 2, (3, 512)).astype(np.float32) * np.float32(0.0213)
        blocks = quantize(x, type_)
        writer.add_tensor(name, blocks, raw_dtype=type_)
        values[name] = torch.from_numpy(dequantize(blocks, type_).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensors = {str(d): torch.from_numpy(50 * rng.standard_normal((5, 7))).abs().to(d) for d in DTYPES}
    save_file(tensors, folder / 'written.safetensors', metadata={'made by': 'safetensors'})
    values.update((name, t.float()) for name, t in tensors.items())
    save_file(values, folder / 'values.safetensors')


if sys.argv[1] == 'read':
    read(*sys.argv[2:])
else:
    write(Path(sys.argv[2]))
