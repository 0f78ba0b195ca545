// Package safetensors reads and writes Hugging Face's tensor container: an
// eight-byte length, a JSON header that names tensors and their places, and
// the tensors' little-endian bytes. Nothing in such a file is executed.
//
// Files come from outside, so the reader checks everything before it allocates
// for it: header size, JSON, names, shapes, sizes against types, and that the
// tensors cover the data without overlap or hole, as the format demands.
//
//	f, err := safetensors.Open("weights.safetensors")
//	defer f.Close()
//	w, err := f.Float32s("0.weight")
//
// The format: https://huggingface.co/docs/safetensors. Start reading at
// [Open] and [Write]. The package imports only the standard library.
package safetensors
