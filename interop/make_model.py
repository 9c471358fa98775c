"""Makes a model of random weights and a tokenizer of its kind, as transformers saves them.

usage: make_model.py KIND TEXT FOLDER, with the kind llama, qwen2, qwen2-biases or qwen3
"""
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from make_tokenizer import make

kind, text, folder = sys.argv[1:]
torch.manual_seed(1)
# Groups of heads, rows of the embedding that no token uses, and several files:
# what real ones have.
sizes = dict(vocab_size=832, hidden_size=128, intermediate_size=320, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256, rms_norm_eps=1e-6, bos_token_id=0, eos_token_id=0, initializer_range=0.08,
             rope_parameters={'rope_type': 'default', 'rope_theta': 50000.0})
if kind == 'llama':  # heads wider than dim/heads, a head of its own
    model = LlamaForCausalLM(LlamaConfig(head_dim=48, tie_word_embeddings=False, **sizes))
elif kind == 'qwen3':
    model = Qwen3ForCausalLM(Qwen3Config(head_dim=32, tie_word_embeddings=True, **sizes))
else:
    model = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **sizes))
for name, parameter in model.named_parameters():
    if 'norm' in name:
        parameter.data = 1 + 0.2 * torch.randn_like(parameter)
    if 'bias' in name:
        parameter.data = 0.1 * torch.randn_like(parameter) if kind == 'qwen2-biases' else torch.zeros_like(parameter)
model.save_pretrained(folder, max_shard_size='1MB')
tokenizer = make('llama3' if kind == 'llama' else 'qwen2-nfc', text, 800)
PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token='<|endoftext|>', eos_token='<|endoftext|>').save_pretrained(folder)
