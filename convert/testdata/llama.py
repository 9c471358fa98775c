"""Writes the folder llama: a Llama of random weights with its tokenizer, in two
shards, and what transformers makes of it: ids of a text and their logits.

    pip install transformers torch safetensors tokenizers
    python llama.py
"""
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = "the cat's hat, the cats' 12 hats\n  and thé end"
torch.manual_seed(1)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=270, special_tokens=["<|endoftext|>"],
                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
tokenizer.train_from_iterator([TEXT] * 3, trainer)
config = LlamaConfig(vocab_size=272, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=8, max_position_embeddings=64, rms_norm_eps=1e-6,
                     tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, initializer_range=0.3,
                     rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
model = LlamaForCausalLM(config)
for name, p in model.named_parameters():
    if "norm" in name:
        p.data = 1 + 0.3 * torch.randn_like(p)
model.save_pretrained("llama", max_shard_size="20KB")
PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained("llama")
ids = torch.tensor(tokenizer.encode(TEXT).ids, dtype=torch.int32)
with torch.no_grad():
    logits = model(ids[None].long()).logits[0]
save_file({"ids": ids, "logits": logits.contiguous()}, "llama.expected.safetensors")
