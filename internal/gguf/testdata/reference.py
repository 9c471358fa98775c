"""Writes reference.gguf with the Python package gguf: every type of metadata value, and a tensor of each type that it
encodes. Beside each tensor lies what the package itself dequantises it to.
"""
import numpy as np, gguf
from gguf.constants import GGMLQuantizationType as T, GGUFValueType as V

w = gguf.GGUFWriter('reference.gguf', 'llama')
w.add_uint8('k.uint8', 200); w.add_int8('k.int8', -100); w.add_uint16('k.uint16', 60000); w.add_int16('k.int16', -30000)
w.add_uint32('k.uint32', 4000000000); w.add_int32('k.int32', -2000000000); w.add_uint64('k.uint64', 2**64 - 1)
w.add_int64('k.int64', -2**62); w.add_float32('k.float32', 0.1); w.add_float64('k.float64', 0.1); w.add_bool('k.bool', True)
w.add_string('k.string', 'zwölf 12')
w.add_array('k.strings', ['a', '', 'Ġthe']); w.add_array('k.ints', [1, -2, 3]); w.add_array('k.floats', [0.5, -1.5]); w.add_array('k.bools', [True, False])
w.add_key_value('k.bytes', [1, 2, 255], V.ARRAY, sub_type=V.UINT8)
w.add_array('k.nested', [[1, 2], [3]])
rng = np.random.default_rng(3)
x = rng.standard_normal((2, 256)).astype(np.float32)
w.add_tensor('x', x)
for t in T.F16, T.BF16, T.Q8_0, T.Q4_0, T.TQ1_0, T.TQ2_0:
    q = gguf.quantize(x, t)
    w.add_tensor(t.name, q, raw_dtype=t); w.add_tensor(t.name + '.decoded', gguf.dequantize(q, t).reshape(x.shape))
w.add_tensor('codes', np.array([[[1, -1], [0, 5]]], np.int8))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
