package data

import (
	"fmt"
	"slices"
	"testing"
)

// The tokens of a post_processor are told, and stay out of the ids of a text.
func TestAround(t *testing.T) {
	const template = `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],
		"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[2],"tokens":["<s>"]},"</s>":{"id":"</s>","ids":[%d],"tokens":["</s>"]}}}`
	for post, want := range map[string][2][]int32{
		"null": {},
		`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`: {},
		fmt.Sprintf(template, 3):   {{2}, {3}},
		fmt.Sprintf(template, 400): {{2}, nil}, // no such token
		`{"type":"Sequence","processors":[{"type":"ByteLevel"},` + fmt.Sprintf(template, 3) + `]}`:         {{2}, {3}},
		`{"type":"RobertaProcessing","sep":["</s>",3],"cls":["<s>",2],"trim_offsets":true}`:                {{2}, {3}},
		`{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{}}`: {},
	} {
		tok, err := ParseTokenizer([]byte(`{"added_tokens":[{"id":2,"content":"<s>","special":true},{"id":3,"content":"</s>","special":true}],
			"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"post_processor":` + post + `,
			"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}}`))
		if err != nil {
			t.Fatal(err)
		}
		before, after := tok.Around()
		if !slices.Equal(before, want[0]) || !slices.Equal(after, want[1]) {
			t.Errorf("%s: %v and %v, want %v", post, before, after, want)
		}
		if ids := tok.Encode(nil, []byte("ab")); !slices.Equal(ids, []int32{0, 1}) {
			t.Errorf("%s: ids %v", post, ids)
		}
	}
}
