"""Does a job (see reader_test.go) with ik_llama.cpp.

usage: ik_llama.py [TYPE] JOB

With a TYPE the program's own quantizer converts the model to it before.
"""
import json
import subprocess
import sys

import numpy as np
from ik_llama_cpp import _ctypes_api as c
from ik_llama_cpp import find_quantize_bin
from ik_llama_cpp._internals import IkContext, IkModel

*types, path = sys.argv[1:]
job = json.load(open(path))
path = job['model']
for type_ in types:
    path += '.converted'
    subprocess.run([find_quantize_bin(), '--allow-requantize', job['model'], path, type_], check=True, stdout=sys.stderr)
model = IkModel(path, use_mmap=False)
context = IkContext(model, n_ctx=128, n_threads=1, flash_attn=False)


def read(tokens, start=0):
    """Reads tokens at positions from start on, and returns their logits [tokens, vocab]."""
    batch = c.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, start + i, 1, 1
        batch.seq_id[i][0] = 0
    if context.decode(batch) != 0:
        sys.exit('llama_decode failed')
    logits = [np.ctypeslib.as_array(context.get_logits(i), (model.n_vocab,)).copy() for i in range(len(tokens))]
    c.llama_batch_free(batch)
    return np.stack(logits)


with open(job['logits'], 'wb') as file:
    for window in job['windows'] or []:
        context.kv_cache_clear()
        read(window).tofile(file)
generated = []
for prompt in job['prompts'] or []:
    context.kv_cache_clear()
    tokens = list(prompt)
    logits = read(tokens)
    while len(tokens) < len(prompt) + job['tokens']:
        tokens.append(int(logits[-1].argmax()))
        logits = read(tokens[-1:], len(tokens) - 1)
    generated.append(tokens[len(prompt):])
if job['text']:
    ids = model.tokenize(open(job['text'], newline='').read(), add_bos=False)
    np.array(ids, np.int32).tofile(job['ids'])
print(json.dumps({'generated': generated}))
