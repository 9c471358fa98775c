// Package interop proves Trefoil's files against other people's programs:
// llama.cpp, ik_llama.cpp, transformers, tokenizers, gguf and safetensors. It
// holds tests alone, which run if TREFOIL_INTEROP is 1: README.md says what
// they need and what they prove.
package interop
