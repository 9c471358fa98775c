"""Makes the blocks of internal/gguf/testdata/golden.gguf anew, with llama.cpp's own library.

usage: blocks.py LIBRARY GOLDEN, with libggml-base and golden.gguf
       blocks.py LIBRARY TYPE BLOCKS VALUES, to decode a file of blocks to one of float32

Prints the types whose blocks, and the values read from them, are the same to
the last bit, and fails if there is another.
"""
import ctypes
import sys

import gguf
import numpy as np

FUNCTIONS = {  # name: elements of a block, quantise, dequantise
    'F16': (1, 'ggml_fp32_to_fp16_row', 'ggml_fp16_to_fp32_row'),
    'BF16': (1, 'ggml_fp32_to_bf16_row_ref', 'ggml_bf16_to_fp32_row'),
    'Q4_0': (32, 'quantize_row_q4_0_ref', 'dequantize_row_q4_0'),
    'Q8_0': (32, 'quantize_row_q8_0_ref', 'dequantize_row_q8_0'),
    'TQ1_0': (256, 'quantize_row_tq1_0_ref', 'dequantize_row_tq1_0'),
    'TQ2_0': (256, 'quantize_row_tq2_0_ref', 'dequantize_row_tq2_0'),
    'Q2_0': (64, 'quantize_row_q2_0_ref', 'dequantize_row_q2_0'),
}
BLOCK_BYTES = {'Q2_0': 18}  # which the package gguf does not know

library = ctypes.CDLL(sys.argv[1])


def call(function, source, target, n):
    getattr(library, function)(source.ctypes.data_as(ctypes.c_void_p), target.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(n))
    return target.tobytes()


if len(sys.argv) == 5:
    length, _, dequantize = FUNCTIONS[sys.argv[2]]
    blocks = np.fromfile(sys.argv[3], np.uint8)
    values = np.zeros(blocks.size // BLOCK_BYTES[sys.argv[2]] * length, np.float32)
    call(dequantize, blocks, values, values.size)
    values.tofile(sys.argv[4])
    sys.exit()
golden = {t.name: t.data for t in gguf.GGUFReader(sys.argv[2]).tensors}

for name, (length, quantize, dequantize) in FUNCTIONS.items():
    x, blocks = np.ascontiguousarray(golden['input']), np.ascontiguousarray(golden[name + '.blocks'])
    if call(quantize, x, np.zeros_like(blocks), x.size) != blocks.tobytes():
        sys.exit(f'{name}: the blocks are others')
    for kind in ('blocks', 'noise'):
        data, decoded = np.ascontiguousarray(golden[f'{name}.{kind}']), golden[f'{name}.{kind}.decoded']
        if call(dequantize, data, np.zeros(decoded.size, np.float32), decoded.size) != decoded.tobytes():
            sys.exit(f'{name}.{kind}: the values are others')
    print(name)
