package kernel

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestTrits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 63, 1000, 200_003} {
		codes := random8(rng, n, -1, 1)
		packed := newFenced((n+4)/5, byte(250))
		PackTrits(packed.s, codes)
		packed.check(t, "packed")
		for i, b := range packed.s {
			want, power := 0, 81
			for j := range 5 {
				digit := 1
				if i*5+j < n {
					digit = int(codes[i*5+j]) + 1
				}
				want, power = want+digit*power, power/3
			}
			if int(b) != want {
				t.Fatalf("n = %d: byte %d is %d, want %d", n, i, b, want)
			}
		}
		got := newFenced(n, int8(99))
		if err := UnpackTrits(got.s, packed.s); err != nil {
			t.Fatal(err)
		}
		same(t, "codes", got.s, codes)
		got.check(t, "codes")
	}
}

func TestUnpackTritsErrors(t *testing.T) {
	err := UnpackTrits(make([]int8, 15), []byte{0, 243, 0})
	if err == nil || !strings.Contains(err.Error(), "byte 1 is 243") {
		t.Errorf("byte 243: %v", err)
	}
	if err := UnpackTrits(make([]int8, 6), []byte{0}); err == nil || !strings.Contains(err.Error(), "need 2") {
		t.Errorf("short source: %v", err)
	}
}

func FuzzUnpackTrits(f *testing.F) {
	f.Add([]byte{0, 121, 242})
	f.Fuzz(func(t *testing.T, src []byte) {
		codes := make([]int8, 5*len(src))
		if UnpackTrits(codes, src) != nil {
			return
		}
		again := make([]byte, len(src))
		PackTrits(again, codes)
		same(t, "bytes", again, src)
	})
}
