// Package data turns text into batches of token ids.
//
//	corpus ──> tokenizer ──> token cache ──> Sampler ──> inputs, targets
//
// A corpus ([Config]) is the Go source tree of the user's own installation, a
// text file, a folder or a JSONL file. It is split into documents for training
// and documents held out, encoded on all cores without ever being held in
// memory as a whole, and kept on disk as ids, memory-mapped, so that the second
// run starts at once ([Open]). The cache is keyed by the contents of the corpus
// and of the tokenizer, and checked by a checksum: a stale or damaged file is
// encoded again and never read.
//
// A [Tokenizer] is byte-level BPE with the split of GPT-2, single characters,
// single bytes, or whatever a Hugging Face tokenizer.json describes.
//
// # The Go source tree
//
// The path [GoSource] stands for the .go files below $(go env GOROOT)/src that someone has
// written. Left out are tests (_test.go), the folders testdata and vendor, files that
// say "// Code generated ... DO NOT EDIT.", and tables: files of at least 50 elements of
// composite literals on lines of their own, where these are more than half of the lines
// that are not blank. The text differs from one version of Go to the next, and so do
// the tokens.
//
// # What is text
//
// A file is refused as no text if it holds a zero byte, or in a mebibyte more than four
// bytes, and more than one in a thousand, that are not of a UTF-8 character. Fewer such
// bytes are learned as they are by the kinds byte and bpe, with a warning; the kind char
// refuses them. A byte-order mark at the beginning is left out.
// A line of a JSONL file has to be UTF-8 as a whole, as JSON has to. An escape of half a
// character in it, such as \ud800 alone, stands for U+FFFD.
//
// # Documents
//
// Where a corpus has more than one document, each is followed by the special
// token [EndOfText]. A corpus of one document has no such token: the characters
// of tiny Shakespeare make a vocabulary of exactly 65. Text is never searched
// for the names of special tokens: a document that spells "<|endoftext|>" is
// encoded as these 13 characters, and only the boundary of two documents gives
// the special id.
//
// # Held-out text
//
// A document is held out when the first 8 bytes of the SHA-256 of its name, read
// as a big-endian fraction of 1, are below [Config.Holdout]. Its name is its path
// below the corpus folder with forward slashes, or its line number (from 1) in a JSONL
// file. So the split depends neither on the machine nor on the order of files on
// disk, and a document added later moves no other. If that leaves one side empty,
// the document with the lowest fraction is held out, or the highest is trained on. A
// corpus of one document is cut by position instead: its last share is held out.
//
// A BPE vocabulary is learned from the training documents alone. A vocabulary of characters
// takes in those of the held-out documents, so that every text can be encoded.
//
// # Speed
//
// One core of an Intel Xeon (family 6, model 207), busy with other work besides, encodes Go
// source at 40 to 50 MB/s with 4,096 tokens and at 42 to 47 MB/s with 32,768, and learns
// 4,096 tokens from 50 MB of it in 1.4 to 2.7 seconds:
//
//	go test ./data -run NONE -cpu 1 -bench 'Encode|TrainVocabulary' -benchtime 2x -count 4
//
// # Large corpora
//
// Text is read in pieces of about a megabyte, and memory holds a few for each core. A
// document is cut only where that leaves its ids as they are: for BPE before white space
// that follows something else, since no word of GPT-2's split crosses such a place and none
// depends on what is beyond it. A vocabulary of more than 512 MB of text is learned
// from every second, third, ... piece.
package data
