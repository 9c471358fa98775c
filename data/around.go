package data

import "encoding/json"

// postProcessor is the post_processor of a tokenizer.json in the forms that put
// tokens around text: a template, BERT's two tokens, or a sequence of steps.
type postProcessor struct {
	Type   string `json:"type"`
	Single []struct {
		SpecialToken *struct {
			ID string `json:"id"`
		}
	} `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
	Begin      json.RawMessage `json:"cls"` // [name, id], as End is
	End        json.RawMessage `json:"sep"`
	Processors []postProcessor `json:"processors"`
}

// Around returns the ids that programs which follow the tokenizer.json put
// before and behind each text (its post_processor), such as <s>. Encode does
// not: it gives the ids of the text alone.
func (t *Tokenizer) Around() (before, after []int32) {
	var file struct {
		PostProcessor *postProcessor `json:"post_processor"`
	}
	if json.Unmarshal(t.json, &file) != nil || file.PostProcessor == nil {
		return nil, nil
	}
	steps := append([]postProcessor{*file.PostProcessor}, file.PostProcessor.Processors...)
	for _, p := range steps {
		b, a := p.around()
		before, after = append(t.known(b), before...), append(after, t.known(a)...)
	}
	return before, after
}

func (p postProcessor) around() (before, after []int32) {
	switch p.Type {
	case "TemplateProcessing":
		inText := false
		for _, part := range p.Single {
			switch {
			case part.SpecialToken == nil:
				inText = true
			case inText:
				after = append(after, p.SpecialTokens[part.SpecialToken.ID].IDs...)
			default:
				before = append(before, p.SpecialTokens[part.SpecialToken.ID].IDs...)
			}
		}
	case "BertProcessing", "RobertaProcessing":
		return pairID(p.Begin), pairID(p.End)
	}
	return before, after
}

// pairID returns the id of [name, id].
func pairID(text json.RawMessage) []int32 {
	var parts []json.RawMessage
	var id int32
	if json.Unmarshal(text, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[1], &id) != nil {
		return nil
	}
	return []int32{id}
}

// known leaves ids outside of the vocabulary out.
func (t *Tokenizer) known(ids []int32) []int32 {
	var out []int32
	for _, id := range ids {
		if id >= 0 && int(id) < t.Vocab() {
			out = append(out, id)
		}
	}
	return out
}
