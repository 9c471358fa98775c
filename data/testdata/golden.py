"""Writes mixed.txt and golden.json, what Hugging Face's tokenizers library learns from
a text and makes of it, and two tokenizers that are not byte-level BPE. Needs: pip install tokenizers
"""
import hashlib, json, os, random
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

here = os.path.dirname(os.path.abspath(__file__))
fragments = [
    "The quick brown fox doesn't jump; it's lazy, they're late, we've won, I'm he'd she'll ",
    "if err != nil {\n\t\treturn fmt.Errorf(\"reading %s: %w\", path, err)\n\t}\n",
    "for i := range 10 {\n\t\t\tx[i] += 0x1F << 3 // ======== \n\t}\n\n\n",
    "    four spaces\t\ttwo tabs \n \n\r\n mixed ends  ",
    "'s 'S 't'T DON'T 'lloyd 're've ''ll '' ' ",
    "cafe\u0301 na\u0308ive A\u030a \u0928\u092e\u0938\u094d\u0924\u0947 ",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea ",
    "\u4e2d\u6587\u5206\u8bcd \u65e5\u672c\u8a9e\u3001\u304b\u306a\u3000\uff11\uff12\uff13 ",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0661\u0662\u0663 \u05e9\u05dc\u05d5\u05dd ",
    "a\u00a0b \u00a0 c\u2003\u2003d\u2028e\u2029f\u0085g\u200bh\ufeffi\u1680j ",
    "\u00bd \u00b2 \u216b \u2460 \u0e53 12,345.678 1e-9 v2 ",
    "aaaaaaaaaaa abababababab -----------________ ....... ",
    "\u0414\u043b\u0438\u043d\u043d\u043e\u0435 \u0441\u043b\u043e\u0432\u043e \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u00e9\u00df\u00f8 ",
    "x" * 70 + " ", "<|endoftext|> <|pad|> ", "\x00\x01\x7f ", "\ufffd \ue000 \U000e0001 ",
]
pick = random.Random(1)
text = "".join(pick.choice(fragments) for _ in range(500))
characters = [c for f in fragments for c in f]
text += "".join(pick.choice(characters) for _ in range(4000)) + "  \n "


def train(text, vocab):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(t.to_str())["model"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return merges, t.encode(text).ids


def digest(lines):
    return hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest()


merges, ids = train(text, 700)
golden = {"vocab": 700, "merges": merges, "ids": ids}
with open(os.path.join(here, "mixed.txt"), "w", encoding="utf-8", newline="") as f:
    f.write(text)
shakespeare = os.path.join(here, "../../../shared/data/tinyshakespeare.txt")
if os.path.exists(shakespeare):
    with open(shakespeare, encoding="utf-8", newline="") as f:
        merges, ids = train(f.read(), 1024)
    golden["shakespeare"] = {"vocab": 1024, "merges": digest(merges), "ids": digest(ids), "tokens": len(ids)}
with open(os.path.join(here, "golden.json"), "w", encoding="utf-8") as f:
    json.dump(golden, f, ensure_ascii=False, separators=(",", ":"))

pieces = ["[UNK]", "[CLS]", "[SEP]", ".", "the", "qu", "##ick", "dog", "##s", "d", "##og"]
wordpiece = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
wordpiece.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
wordpiece.normalizer = normalizers.BertNormalizer(lowercase=True)
wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
wordpiece.decoder = decoders.WordPiece()
wordpiece.save(os.path.join(here, "wordpiece.json"), pretty=False)
print(wordpiece.encode("The quick dogs jumped.").ids)

scores = [("<unk>", 0.0), ("</s>", 0.0), ("the", -2.0), ("th", -3.0), ("qu", -2.5), ("ick", -2.5),
          ("dog", -2.1), ("s", -3.0), ("d", -4.0), ("o", -4.0), ("g", -4.0)]
unigram = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=False))
unigram.add_special_tokens(["<unk>", "</s>"])
unigram.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
unigram.save(os.path.join(here, "unigram.json"), pretty=False)
print(unigram.encode("the quick dogs").ids)
