package data

import (
	"cmp"
	"slices"

	"golang.org/x/text/unicode/norm"
)

// addedCoder does what byte-level tokenizers do before they split a text: find added
// tokens in it, and compose the characters between them.
type addedCoder struct {
	coder
	nfc   bool
	added [256][]foundToken // by their first byte, the longest first
}

type foundToken struct {
	content string
	id      int32
}

// around returns c with what the file does before its split, if that is anything.
func around(c *bpeCoder, file tokenizerFile) coder {
	a := &addedCoder{coder: c, nfc: !isNull(file.Normalizer)}
	found := false
	for _, t := range file.AddedTokens {
		if !t.Special {
			list := &a.added[t.Content[0]]
			*list, found = append(*list, foundToken{t.Content, int32(t.ID)}), true
		}
	}
	if !found && !a.nfc {
		return c
	}
	for _, list := range a.added {
		slices.SortFunc(list, func(x, y foundToken) int { return cmp.Compare(len(y.content), len(x.content)) })
	}
	return a
}

func (a *addedCoder) encode(dst []int32, text []byte) (_ []int32, err error) {
	for start := 0; start < len(text); {
		at, token := a.find(text, start)
		if at > start {
			part := text[start:at]
			if a.nfc {
				part = norm.NFC.Bytes(part)
			}
			var failed error
			if dst, failed = a.coder.encode(dst, part); err == nil {
				err = failed
			}
		}
		if token.content != "" {
			dst = append(dst, token.id)
		}
		start = at + len(token.content)
	}
	return dst, err
}

// find returns the first added token in the text from start on, and where it is; at the
// end of the text if there is none.
func (a *addedCoder) find(text []byte, start int) (int, foundToken) {
	for i := start; i < len(text); i++ {
		for _, t := range a.added[text[i]] {
			if len(t.content) <= len(text)-i && string(text[i:i+len(t.content)]) == t.content {
				return i, t
			}
		}
	}
	return len(text), foundToken{}
}

// cut is before white space, which no added token has.
func (a *addedCoder) cut(text []byte) int { return a.coder.cut(text) }
