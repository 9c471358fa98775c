package data

import "context"

// minMergeCount is how often a pair must occur to become a token.
const minMergeCount = 2

// pairMerge is a learned merge, in order of rank.
type pairMerge struct {
	pair pair
	id   int32
}

// bpeTrainer learns merges from words and their counts. It always merges the most
// frequent pair, of equally frequent ones that of the smallest ids (left, then
// right): the rule of Hugging Face's BpeTrainer. Each merge touches only the words
// that contain its pair.
type bpeTrainer struct {
	words  [][]int32 // tokens of each distinct word, merged so far
	counts []int64   // how often each word occurs
	index  map[pair]int32
	pairs  []pairCount
	queue  heap[queuedPair]
	grown  []int32 // pairs whose count has grown in this merge

	tokens []string
	ids    map[string]int32
	merges []pairMerge
}

type pairCount struct {
	pair  pair
	count int64
	words []int32 // words that contain it, or did
	grown bool
}

// queuedPair is a pair with its count when it was queued, which may have fallen since.
type queuedPair struct {
	count int64
	pair  pair
}

func (p queuedPair) before(q queuedPair) bool {
	return p.count > q.count || p.count == q.count && p.pair < q.pair
}

// trainBPE learns a vocabulary of at most vocab tokens: the 256 bytes in the order of
// GPT-2, then one token a merge. It has fewer if no pair occurs minMergeCount times any
// more. progress is told the number of tokens.
func trainBPE(ctx context.Context, words map[string]int64, vocab int, progress func(tokens int)) ([]string, []pairMerge, error) {
	t := newBPETrainer(words)
	for len(t.tokens) < vocab && len(t.queue) > 0 {
		top := t.queue.pop()
		at := t.index[top.pair]
		if now := t.pairs[at].count; now != top.count {
			if now >= minMergeCount {
				t.queue.push(queuedPair{now, top.pair})
			}
			continue
		}
		t.merge(at)
		if len(t.tokens)%256 == 0 {
			progress(len(t.tokens))
			if err := ctx.Err(); err != nil {
				return nil, nil, context.Cause(ctx)
			}
		}
	}
	return t.tokens, t.merges, nil
}

func newBPETrainer(words map[string]int64) *bpeTrainer {
	t := &bpeTrainer{index: map[pair]int32{}, ids: map[string]int32{}}
	var byteID [256]int32
	for i, b := range gpt2Bytes {
		byteID[b] = int32(i)
		t.addToken(string([]byte{b}))
	}
	for word, count := range words {
		ids := make([]int32, len(word))
		for i := range len(word) {
			ids[i] = byteID[word[i]]
		}
		w := int32(len(t.words))
		t.words, t.counts = append(t.words, ids), append(t.counts, count)
		for i := 1; i < len(ids); i++ {
			t.grow(pairOf(ids[i-1], ids[i]), w)
		}
	}
	t.enqueue()
	return t
}

// addToken returns the id of a token, which is a new one unless another merge has
// made the same bytes.
func (t *bpeTrainer) addToken(token string) int32 {
	if id, ok := t.ids[token]; ok {
		return id
	}
	id := int32(len(t.tokens))
	t.tokens, t.ids[token] = append(t.tokens, token), id
	return id
}

// merge makes a token of a pair and puts it into every word that contains the pair.
func (t *bpeTrainer) merge(at int32) {
	p, words := t.pairs[at].pair, t.pairs[at].words
	id := t.addToken(t.tokens[p.left()] + t.tokens[p.right()])
	t.merges = append(t.merges, pairMerge{p, id})
	for _, w := range words {
		t.mergeIn(w, p.left(), p.right(), id)
	}
	t.pairs[at].count, t.pairs[at].words = 0, nil
	t.enqueue()
}

func (t *bpeTrainer) mergeIn(w, left, right, id int32) {
	word := t.words[w]
	out := word[:0]
	for i := 0; i < len(word); i++ {
		if word[i] != left || i+1 == len(word) || word[i+1] != right {
			out = append(out, word[i])
			continue
		}
		if len(out) > 0 {
			before := out[len(out)-1]
			t.shrink(pairOf(before, left), w)
			t.grow(pairOf(before, id), w)
		}
		if i+2 < len(word) {
			after := word[i+2]
			t.shrink(pairOf(right, after), w)
			t.grow(pairOf(id, after), w)
		}
		out = append(out, id)
		i++
	}
	t.words[w] = out
}

// grow counts one more p in word w.
func (t *bpeTrainer) grow(p pair, w int32) {
	at, ok := t.index[p]
	if !ok {
		at = int32(len(t.pairs))
		t.index[p] = at
		t.pairs = append(t.pairs, pairCount{pair: p})
	}
	c := &t.pairs[at]
	c.count += t.counts[w]
	if n := len(c.words); n == 0 || c.words[n-1] != w {
		c.words = append(c.words, w)
	}
	if !c.grown {
		c.grown = true
		t.grown = append(t.grown, at)
	}
}

// shrink counts one p less in word w.
func (t *bpeTrainer) shrink(p pair, w int32) {
	t.pairs[t.index[p]].count -= t.counts[w]
}

// enqueue queues the pairs that have grown.
func (t *bpeTrainer) enqueue() {
	for _, at := range t.grown {
		c := &t.pairs[at]
		c.grown = false
		if c.count >= minMergeCount {
			t.queue.push(queuedPair{c.count, c.pair})
		}
	}
	t.grown = t.grown[:0]
}
