//go:build !cuda

package nvml

// openLibrary is what a build without cgo has.
func openLibrary(string) (Backend, error) {
	return nil, &Error{Code: CodeNotBuilt, Message: "this weft was built without NVML", Hint: "make build builds it with"}
}
