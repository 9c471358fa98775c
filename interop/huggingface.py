"""Does a job (see reader_test.go) with transformers.

usage: huggingface.py JOB
"""
import json
import sys

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.integrations.bitnet import ActQuant

job = json.load(open(sys.argv[1]))
torch.set_num_threads(1)
torch.set_grad_enabled(False)
model = AutoModelForCausalLM.from_pretrained(job['model'], dtype=torch.float32).eval()

inputs = open(job['inputs'], 'wb') if job['inputs'] else None


def keep_input(module, args):
    """Writes the input of a linear layer in steps of its codes, before it is rounded."""
    x = args[0].float()
    scale = 127 / x.abs().max(dim=-1, keepdim=True).values.clamp(1e-5)
    scaled = x * scale
    assert torch.equal((ActQuant.apply(x) * scale).round(), scaled.round()), 'not how transformers rounds'
    inputs.write(scaled.numpy().tobytes())


handles = []
if inputs:
    for name, module in model.named_modules():
        if type(module).__name__ == 'AutoBitLinear':
            handles.append(module.register_forward_pre_hook(keep_input))
    assert handles, 'the model has no ternary layers'
with open(job['logits'], 'wb') as file:
    for window in job['windows'] or []:
        file.write(model(torch.tensor([window])).logits[0].float().numpy().tobytes())
for handle in handles:
    handle.remove()
if inputs:
    inputs.close()

generated = []
for prompt in job['prompts'] or []:
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, temperature=None, top_p=None,
                         min_new_tokens=job['tokens'], max_new_tokens=job['tokens'], eos_token_id=-1, pad_token_id=0)
    generated.append(out[0, len(prompt):].tolist())
if job['text']:
    text = open(job['text'], newline='').read()
    # In Trefoil, as in llama.cpp, no text gives a special token.
    ids = AutoTokenizer.from_pretrained(job['model'], split_special_tokens=True)(text)['input_ids']
    tokenizer = Tokenizer.from_file(job['model'] + '/tokenizer.json')
    tokenizer.encode_special_tokens = True
    assert tokenizer.encode(text).ids == ids, 'tokenizers gives other ids'
    np.array(ids, np.int32).tofile(job['ids'])
print(json.dumps({'generated': generated}))
