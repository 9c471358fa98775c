"""Makes a Llama model of random weights and a tokenizer, as transformers saves them.

usage: make_llama.py TEXT FOLDER
"""
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

text, folder = sys.argv[1:]
torch.manual_seed(1)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train([text], trainers.BpeTrainer(vocab_size=800, special_tokens=['<|endoftext|>'], show_progress=False,
                                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
# Groups of heads, heads wider than dim/heads, a head of its own, rows of the
# embedding that no token uses, and several files: what real ones have.
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=832, hidden_size=128, intermediate_size=320, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    head_dim=48, max_position_embeddings=256, rms_norm_eps=1e-6, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
    rope_parameters={'rope_type': 'default', 'rope_theta': 50000.0}, initializer_range=0.08))
for name, parameter in model.named_parameters():
    if 'norm' in name:
        parameter.data = 1 + 0.2 * torch.randn_like(parameter)
model.save_pretrained(folder, max_shard_size='1MB')
PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token='<|endoftext|>', eos_token='<|endoftext|>').save_pretrained(folder)
