// Package train says what a training job is, apart from the device that runs
// it: the specification ([Parse], [Spec]), the model it composes to on a data
// set's shape ([Compose], [Model]), its length ([Spec.Plan]), learning rates
// ([Schedule.LR]), initial values ([Model.InitParams]), and the files it leaves
// behind ([WriteCheckpoint], [WriteModel]).
//
// Semantics are PyTorch's. A model is a flat list of layers as in
// torch.nn.Sequential, its parameters carry the same names and shapes and start
// from the same distributions, and its files load there.
//
// Start reading at [Spec]. The specification's keys, their types, defaults and
// ranges stand in one table (table.go, table_data.go, table_model.go,
// table_optimizer.go) that reading, writing, the JSON Schema and the reference
// in docs/specification.md all come from.
//
// The package imports only its own subpackages dataset, philox and
// safetensors, and the standard library.
package train
