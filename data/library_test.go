package data

import (
	"slices"
	"strings"
	"testing"
)

// The files and the ids come from Hugging Face's library (testdata/golden.py).
func TestOtherTokenizers(t *testing.T) {
	for _, c := range []struct {
		file, text, decoded string
		ids                 []int32
		end                 int32
	}{
		{"wordpiece", "The quick dogs jumped.", "the quick dogs [UNK].", []int32{4, 5, 6, 7, 8, 0, 3}, 2},
		{"unigram", "the quick dogs", "the qu ick dog s", []int32{2, 4, 5, 6, 7}, 1},
	} {
		tok, err := LoadTokenizer("testdata/" + c.file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		ids := tok.Encode(nil, []byte(c.text))
		if !slices.Equal(ids, c.ids) || string(tok.Decode(ids)) != c.decoded {
			t.Errorf("%s: %q gives %v, %q; want %v, %q", c.file, c.text, ids, tok.Decode(ids), c.ids, c.decoded)
		}
		end, ok := tok.EndOfText()
		if !ok || end != c.end {
			t.Errorf("%s: the end of text is %d, want %d", c.file, end, c.end)
		}
		if ids := tok.Encode(nil, []byte("the [SEP]</s>")); slices.Contains(ids, end) {
			t.Errorf("%s: text gives the special id %d: %v", c.file, end, ids)
		}
		if err := tok.Check([]byte("a\xff")); err == nil || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%s: invalid UTF-8 gives %v", c.file, err)
		}
		if string(tok.Decode([]int32{-5, 1 << 30})) == "the" {
			t.Errorf("%s: ids outside the vocabulary are decoded", c.file)
		}
	}
}
