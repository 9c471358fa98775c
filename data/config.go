package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Tokenizer kinds.
const (
	BPE  = "bpe"  // byte-level BPE, trained on the training documents
	Char = "char" // one id for each character (Unicode code point) of the corpus
	Byte = "byte" // one id for each of the 256 bytes
	File = "file" // an existing tokenizer.json
)

// GoSource is the [Config.Path] of the Go source tree of the user's own
// installation.
const GoSource = "go"

// Config says which text a network is trained on and how it becomes tokens.
type Config struct {
	Path      string          `yaml:"path" doc:"what to train on: go (the Go source tree of your own installation), a text file, a folder, or a .jsonl file"`
	Include   []string        `yaml:"include" doc:"files of a folder, as patterns such as **/*.md (default: every file whose path has no part beginning with a dot)"`
	Field     string          `yaml:"field" doc:"the field of a JSONL record that holds the text"`
	Holdout   float64         `yaml:"holdout" doc:"share of the documents (of one file: its last share) held out from training, between 0 and 1"`
	Tokenizer TokenizerConfig `yaml:"tokenizer" doc:"how text becomes tokens"`
}

// TokenizerConfig describes the tokenizer of a corpus.
type TokenizerConfig struct {
	Kind  string `yaml:"kind" doc:"bpe (byte-level, trained on this corpus), char, byte, or file (a tokenizer.json)"`
	Vocab int    `yaml:"vocab" doc:"bpe: number of tokens, special ones included"`
	Path  string `yaml:"path" doc:"file: the tokenizer.json to use"`
}

// DefaultConfig is the Go source tree with a byte-level BPE of 4096 tokens and a
// tenth of the documents held out.
func DefaultConfig() Config {
	return Config{
		Path:      GoSource,
		Field:     "text",
		Holdout:   0.1,
		Tokenizer: TokenizerConfig{Kind: BPE, Vocab: 4096},
	}
}

const (
	minBPEVocab = 258     // the 256 bytes, one merge, the end of text
	maxVocab    = 1 << 20 // of a trained or loaded tokenizer
)

// Validate reports every field that cannot be used, joined, each with its full
// name in the run's configuration and a remedy. It does not look at files.
func (c Config) Validate() error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Path == "" {
		report("data.path is empty: set it to %q, a text file, a folder or a .jsonl file", GoSource)
	}
	if !(c.Holdout > 0 && c.Holdout < 1) {
		report("data.holdout: %v is not a share between 0 and 1: use 0.1 to hold out a tenth", c.Holdout)
	}
	for i, pattern := range c.Include {
		if !doublestar.ValidatePattern(pattern) {
			report("data.include[%d]: %q is not a valid pattern: write one such as **/*.md", i, pattern)
		}
	}
	if isJSONL(c.Path) && c.Field == "" {
		report("data.field is empty: name the field of %s that holds the text, such as text", c.Path)
	}
	return errors.Join(append(errs, c.Tokenizer.validate())...)
}

func (c TokenizerConfig) validate() error {
	kinds := []string{BPE, Char, Byte, File}
	if !slices.Contains(kinds, c.Kind) {
		return fmt.Errorf("data.tokenizer.kind: %q is not known: use %s", c.Kind, strings.Join(kinds, ", "))
	}
	if c.Kind == BPE && (c.Vocab < minBPEVocab || c.Vocab > maxVocab) {
		return fmt.Errorf("data.tokenizer.vocab: %d is not possible for bpe: use %d to %d (4096 suits a small network)", c.Vocab, minBPEVocab, maxVocab)
	}
	if c.Kind == File && c.Path == "" {
		return fmt.Errorf("data.tokenizer.path is empty: kind file needs the path of a tokenizer.json")
	}
	if c.Kind != File && c.Path != "" {
		return fmt.Errorf("data.tokenizer.path is set, but data.tokenizer.kind is %s: use kind file, or remove the path", c.Kind)
	}
	return nil
}

func isJSONL(path string) bool {
	return strings.HasSuffix(path, ".jsonl")
}
