// Package traintest makes training jobs for tests: random data sets that fit a
// specification, and PyTorch's own runs (gpu/train/testdata/reference), which
// every device is held against. Only tests import it.
package traintest
