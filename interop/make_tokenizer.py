"""Makes byte-level tokenizers in the forms that models have them.

usage: make_tokenizer.py KIND TEXT FILE, with the tokenizer.json to write
"""
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|"
           r"\s*[\r\n]+|\s+(?!\S)|\s+")


def split(digits):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN.replace('DIGITS', digits)), 'isolated'),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def make(kind, path, vocab=1500):
    """Returns a tokenizer of the form of llama3, smaug, qwen2 (composing characters as qwen2-nfc) or smollm."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == 'llama3'))
    tokenizer.pre_tokenizer = {
        'llama3': split('{1,3}'), 'smaug': split('{1,3}'), 'qwen2': split(''), 'qwen2-nfc': split(''),
        'smollm': pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    }[kind]
    if kind == 'qwen2-nfc':
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train([path], trainers.BpeTrainer(vocab_size=vocab, special_tokens=['<|endoftext|>'], show_progress=False,
                                                initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_tokens([AddedToken('<tool_call>', normalized=False), AddedToken('<tool_call>s', normalized=False)])
    return tokenizer


if __name__ == '__main__':
    make(*sys.argv[1:3]).save(sys.argv[3])
