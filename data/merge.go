package data

import "math"

// Words of up to maxScannedWord tokens look for the lowest rank by looking at all
// pairs each time; longer ones keep the pairs in a heap.
const maxScannedWord = 32

const noRank = math.MaxInt32

// mergeScratch is the memory of one merging goroutine.
type mergeScratch struct {
	ids   []int32 // tokens of the word
	ranks []int32 // of the pair that begins at each token
	next  []int32 // position of the token after each, len(ids) at the end
	prev  []int32 // position of the token before each, -1 at the start
	heap  heap[candidate]
}

// candidate is a pair that may merge: at its turn it is checked to be still there.
type candidate struct {
	merge
	at int32 // position of its left token
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

func (b *bpeCoder) rank(left, right int32) int32 {
	if m, ok := b.merges[pairOf(left, right)]; ok {
		return m.rank
	}
	return noRank
}

// mergeShort merges s.ids in place and returns what is left.
func (b *bpeCoder) mergeShort(s *mergeScratch) []int32 {
	ids, ranks := s.ids, s.ranks[:0]
	for i := 1; i < len(ids); i++ {
		ranks = append(ranks, b.rank(ids[i-1], ids[i]))
	}
	s.ranks = ranks
	for {
		best, at := int32(noRank), 0
		for i, rank := range ranks {
			if rank < best {
				best, at = rank, i
			}
		}
		if best == noRank {
			return ids
		}
		ids[at] = b.merges[pairOf(ids[at], ids[at+1])].id
		ids = append(ids[:at+1], ids[at+2:]...)
		ranks = append(ranks[:at], ranks[at+1:]...)
		if at > 0 {
			ranks[at-1] = b.rank(ids[at-1], ids[at])
		}
		if at+1 < len(ids) {
			ranks[at] = b.rank(ids[at], ids[at+1])
		}
	}
}

// mergeLong appends to dst what is left of s.ids after all merges: O(n log n).
func (b *bpeCoder) mergeLong(dst []int32, s *mergeScratch) []int32 {
	n := int32(len(s.ids))
	s.next, s.prev, s.heap = s.next[:0], s.prev[:0], s.heap[:0]
	for i := range n {
		s.next, s.prev = append(s.next, i+1), append(s.prev, i-1)
	}
	for i := range n - 1 {
		b.propose(s, i)
	}
	for len(s.heap) > 0 {
		c := s.heap.pop()
		right := s.next[c.at]
		if s.ids[c.at] < 0 || right == n {
			continue // its left token has gone, or is the last one now
		}
		if m, ok := b.merges[pairOf(s.ids[c.at], s.ids[right])]; !ok || m != c.merge {
			continue // one of its tokens has become another
		}
		s.ids[c.at], s.ids[right] = c.id, -1
		after := s.next[right]
		s.next[c.at] = after
		if after < n {
			s.prev[after] = c.at
			b.propose(s, c.at)
		}
		if s.prev[c.at] >= 0 {
			b.propose(s, s.prev[c.at])
		}
	}
	for i := int32(0); i < n; i = s.next[i] {
		dst = append(dst, s.ids[i])
	}
	return dst
}

// propose puts the pair that begins at position at into the heap, if it can merge.
func (b *bpeCoder) propose(s *mergeScratch, at int32) {
	if m, ok := b.merges[pairOf(s.ids[at], s.ids[s.next[at]])]; ok {
		s.heap.push(candidate{m, at})
	}
}
