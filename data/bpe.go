package data

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"
)

// merge is what a pair of tokens becomes. Of all pairs of a word the one of the
// lowest rank merges first; of several such the leftmost.
type merge struct{ rank, id int32 }

// pair is two tokens that follow each other, as one number: left<<32 | right.
type pair uint64

func pairOf(left, right int32) pair { return pair(left)<<32 | pair(uint32(right)) }

func (p pair) left() int32  { return int32(p >> 32) }
func (p pair) right() int32 { return int32(uint32(p)) }

// bpeCoder is byte-level BPE (Sennrich et al. 2016, Radford et al. 2019).
type bpeCoder struct {
	split   splitter
	bytes   [256]int32       // id of each byte, -1 if the vocabulary lacks it
	partial bool             // the vocabulary lacks some byte
	merges  map[pair]merge   //
	whole   map[string]int32 // words that are taken as they are, without merges; may be nil
	caches  sync.Pool        // of *wordCache
}

func (b *bpeCoder) encode(dst []int32, text []byte) ([]int32, error) {
	cache, _ := b.caches.Get().(*wordCache)
	if cache == nil {
		cache = newWordCache()
	}
	defer b.caches.Put(cache)
	for start := 0; start < len(text); {
		end := b.split.end(text, start)
		dst = b.encodeWord(dst, text, start, end, cache)
		start = end
	}
	return dst, b.check(text)
}

// encodeWord appends the ids of text[start:end], from the cache if it has them.
func (b *bpeCoder) encodeWord(dst []int32, text []byte, start, end int, cache *wordCache) []int32 {
	if end-start > maxCachedBytes {
		return b.mergeWord(dst, text[start:end], &cache.scratch)
	}
	key := keyOf(text, start, end)
	slot := cache.slot(key)
	if slot.key == key {
		return append(dst, slot.ids[:slot.n]...)
	}
	known := len(dst)
	dst = b.mergeWord(dst, text[start:end], &cache.scratch)
	if n := len(dst) - known; n <= len(slot.ids) {
		slot.key, slot.n = key, int32(n)
		copy(slot.ids[:], dst[known:])
	}
	return dst
}

// mergeWord appends the ids of one word.
func (b *bpeCoder) mergeWord(dst []int32, word []byte, s *mergeScratch) []int32 {
	if id, ok := b.whole[string(word)]; ok {
		return append(dst, id)
	}
	s.ids = s.ids[:0]
	for _, c := range word {
		if id := b.bytes[c]; id >= 0 {
			s.ids = append(s.ids, id)
		}
	}
	if len(s.ids) <= maxScannedWord {
		return append(dst, b.mergeShort(s)...)
	}
	return b.mergeLong(dst, s)
}

// check reports the first byte of text that the vocabulary lacks. Few vocabularies lack
// any.
func (b *bpeCoder) check(text []byte) error {
	if !b.partial {
		return nil
	}
	for _, c := range text {
		if b.bytes[c] < 0 {
			return fmt.Errorf("byte %#02x is not in the vocabulary of the tokenizer: use another tokenizer", c)
		}
	}
	return nil
}

const maxCachedBytes = 15

// wordKey holds a word of at most 15 bytes: the bytes, zeros, and the length in the
// last byte. No word has the zero key.
type wordKey struct{ low, high uint64 }

func keyOf(text []byte, start, end int) wordKey {
	n := end - start
	var k wordKey
	if start+16 <= len(text) {
		k.low = binary.LittleEndian.Uint64(text[start:])
		k.high = binary.LittleEndian.Uint64(text[start+8:])
	} else {
		var word [16]byte
		copy(word[:], text[start:end])
		k.low = binary.LittleEndian.Uint64(word[:])
		k.high = binary.LittleEndian.Uint64(word[8:])
	}
	if n < 8 {
		k.low &= 1<<(8*n) - 1
		k.high = 0
	} else {
		k.high &= 1<<(8*(n-8)) - 1
	}
	k.high |= uint64(n) << 56
	return k
}

// wordCache remembers the ids of short words. A word that meets another in its slot
// takes its place, so that the cache never grows.
type wordCache struct {
	slots   []wordSlot
	scratch mergeScratch
}

type wordSlot struct {
	key wordKey
	n   int32
	ids [7]int32
}

const cacheBits = 15

func newWordCache() *wordCache {
	return &wordCache{slots: make([]wordSlot, 1<<cacheBits)}
}

func (c *wordCache) slot(k wordKey) *wordSlot {
	high, low := bits.Mul64(k.low^0x9e3779b97f4a7c15, k.high^0xd1b54a32d192ed03)
	return &c.slots[(high^low)*0x9e3779b97f4a7c15>>(64-cacheBits)]
}
