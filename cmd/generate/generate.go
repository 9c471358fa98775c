package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"trefoil/data"
	"trefoil/infer"
	"trefoil/internal/command"
)

// generate writes the prompt and what the model makes of it.
func (q *request) generate(ctx context.Context, stdout, stderr io.Writer) error {
	if err := checkFile(q.path); err != nil {
		return err
	}
	model, err := infer.Open(q.path)
	if err != nil {
		return err
	}
	if model, err = model.WithActivations(q.activations); err != nil {
		return err
	}
	tokenizer, err := data.ParseTokenizer(model.Tokenizer())
	if err != nil {
		return fmt.Errorf("%s: section tokenizer: %w", q.path, err)
	}
	prompt, err := encode(tokenizer, q.prompt)
	if err != nil {
		return err
	}
	if context := model.Config().Model.Context; len(prompt) > context {
		fmt.Fprintf(stderr, "only the last %d of %d tokens of the prompt are read: the context is %d\n",
			len(prompt)-infer.WindowStart(len(prompt), context), len(prompt), context)
	}
	out := &textWriter{w: stdout}
	if err := out.write([]byte(q.prompt)); err != nil {
		return err
	}
	speed := speed{start: time.Now()}
	err = q.stream(ctx, model, tokenizer, prompt, out, &speed)
	err = errors.Join(err, out.close())
	fmt.Fprintf(stderr, "%s; prompt of %s\n", &speed, command.Count(len(prompt), "token"))
	return err
}

// checkFile refuses what is no .trefoil file by its kind, and says which file
// was probably meant.
func checkFile(path string) error {
	if ext := filepath.Ext(path); ext == ".gguf" || ext == ".safetensors" {
		return fmt.Errorf("%s is for other programs: give the .trefoil file of the run; of a model of others, cmd/import makes a run, and cmd/export its .trefoil file", path)
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return nil // what else is wrong shows when it is opened
	}
	path = filepath.ToSlash(filepath.Clean(path))
	model := path + "/model.trefoil"
	if _, err := os.Stat(model); err == nil {
		return fmt.Errorf("%s is a folder: give the file %s", path, model)
	}
	return fmt.Errorf("%s is a folder: give a .trefoil file, which go run ./cmd/export makes of the folder of a run", path)
}

// stream writes tokens as they come, up to the end of the text.
func (q *request) stream(ctx context.Context, m *infer.Model, t *data.Tokenizer, prompt []int32, out *textWriter, speed *speed) error {
	end, _ := t.EndOfText() // -1 if there is none
	for id, err := range m.NewSession().Generate(ctx, prompt, q.n, infer.NewSampler(q.sampling)) {
		if err != nil {
			return err
		}
		speed.token()
		if id == end {
			return nil
		}
		if err := out.write(t.Decode([]int32{id})); err != nil {
			return err
		}
	}
	return nil
}

// A speed measures generation from the first token on: what comes before is
// the reading of the prompt.
type speed struct {
	tokens             int
	start, first, last time.Time
}

func (s *speed) token() {
	s.last = time.Now()
	if s.tokens++; s.tokens == 1 {
		s.first = s.last
	}
}

func (s *speed) String() string {
	text := fmt.Sprintf("%s in %.2f s", command.Count(s.tokens, "token"), time.Since(s.start).Seconds())
	if s.tokens > 1 {
		text += fmt.Sprintf(", %.0f tokens/s", float64(s.tokens-1)/s.last.Sub(s.first).Seconds())
	}
	return text
}

// encode returns the tokens of a prompt. An empty one begins a new text.
func encode(t *data.Tokenizer, prompt string) ([]int32, error) {
	if err := t.Check([]byte(prompt)); err != nil {
		return nil, fmt.Errorf("the prompt: %w", err)
	}
	tokens := t.Encode(nil, []byte(prompt))
	if len(tokens) > 0 {
		return tokens, nil
	}
	if end, ok := t.EndOfText(); ok {
		return []int32{end}, nil
	}
	return nil, errors.New("the prompt is empty, and this model knows no beginning of a text: give one with " + examplePrompt)
}
