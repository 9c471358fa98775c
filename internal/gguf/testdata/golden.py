"""Writes golden.gguf: blocks of every tensor type as the formats' own C code quantises and dequantises them.

usage: golden.py LIBGGML_BASE LIB_I2S

LIBGGML_BASE is llama.cpp's libggml-base.so, built without -march=native.
LIB_I2S is a library with bitnet.cpp's quantize_i2_s (src/ggml-bitnet-mad.cpp, ACT_PARALLEL as in
include/gemm-config.h) and dequantize_row_i2_s, both exported as C names.

For each type T the file holds
  T.blocks          what C makes of the rows of "input"; for I2_S, of the rows of "ternary"
  T.blocks.decoded  what C reads from them
  T.noise           random bytes, every bit pattern of codes among them
  T.noise.decoded   what C reads from them
"""
import ctypes, sys
import numpy as np, gguf

BLOCK = 256
ggml, i2s = ctypes.CDLL(sys.argv[1]), ctypes.CDLL(sys.argv[2])
rng = np.random.default_rng(7)

def hard_blocks():
    """Blocks of 256, each with something that quantisers get wrong."""
    g = lambda s: (rng.standard_normal(BLOCK) * s).astype(np.float32)
    t = lambda s: rng.integers(-1, 2, BLOCK).astype(np.float32) * np.float32(s)
    ties = np.float32(0.5) * rng.integers(-2, 3, BLOCK).astype(np.float32)
    zeros = np.zeros(BLOCK, np.float32); zeros[::3] = -0.0
    lone = np.zeros(BLOCK, np.float32); lone[77] = -3.25
    return [g(1), t(0.0213), zeros, g(2e-6), g(1e-9), np.clip(g(3e4), -6e4, 6e4), ties, lone]

x = np.concatenate(hard_blocks()).reshape(2, -1)
ternary = np.concatenate([rng.integers(-1, 2, BLOCK), np.zeros(BLOCK)]).astype(np.float32).reshape(2, -1) * np.float32(0.0213)

def pointer(a): return a.ctypes.data_as(ctypes.c_void_p)

def call(function, src, dst, n):
    function(pointer(src), pointer(dst), ctypes.c_int64(n))
    return dst

ROWS = {  # name: elements and bytes of a block, quantise, dequantise
    'F16': (1, 2, 'ggml_fp32_to_fp16_row', 'ggml_fp16_to_fp32_row'),
    'BF16': (1, 2, 'ggml_fp32_to_bf16_row_ref', 'ggml_bf16_to_fp32_row'),
    'Q4_0': (32, 18, 'quantize_row_q4_0_ref', 'dequantize_row_q4_0'),
    'Q8_0': (32, 34, 'quantize_row_q8_0_ref', 'dequantize_row_q8_0'),
    'TQ1_0': (256, 54, 'quantize_row_tq1_0_ref', 'dequantize_row_tq1_0'),
    'TQ2_0': (256, 66, 'quantize_row_tq2_0_ref', 'dequantize_row_tq2_0'),
    'Q2_0': (64, 18, 'quantize_row_q2_0_ref', 'dequantize_row_q2_0'),
}
w = gguf.GGUFWriter('golden.gguf', 'golden')
w.add_tensor('input', x); w.add_tensor('ternary', ternary)

def add(name, blocks, decoded):
    w.add_tensor(name, blocks.view(np.int8)); w.add_tensor(name + '.decoded', decoded)

for name, (length, size, quantise, dequantise) in ROWS.items():
    quantise, dequantise = getattr(ggml, quantise), getattr(ggml, dequantise)
    blocks = call(quantise, x, np.zeros(x.size // length * size, np.uint8), x.size)
    add(name + '.blocks', blocks, call(dequantise, blocks, np.zeros(x.size, np.float32), x.size))
    noise = rng.integers(0, 256, 4 * BLOCK // length * size).astype(np.uint8)
    if length > 1:  # a finite scale, in front of the codes or behind them
        at = size - 2 if name.startswith('TQ') else 0
        noise.reshape(-1, size)[:, at + 1] &= 0xbf
    add(name + '.noise', noise, call(dequantise, noise, np.zeros(4 * BLOCK, np.float32), 4 * BLOCK))

def decode_i2s(blocks):
    n = (blocks.size - 32) * 4
    out, scale = np.zeros(n, np.float32), blocks[n // 4:n // 4 + 4].view(np.float32)[0]
    i2s.dequantize_row_i2_s(pointer(blocks), pointer(out), ctypes.c_int64(n), ctypes.c_float(scale))
    return out

blocks = np.zeros(ternary.size // 4 + 32, np.uint8)
i2s.quantize_i2_s(pointer(ternary), pointer(blocks), ctypes.c_int64(2), ctypes.c_int64(BLOCK), None)
add('I2_S.blocks', blocks, decode_i2s(blocks))
noise = rng.integers(0, 256, 96).astype(np.uint8); noise[64:68] = np.float32([0.75]).view(np.uint8)
add('I2_S.noise', noise, decode_i2s(noise))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
