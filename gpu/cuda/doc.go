// Package cuda is weft's way to an NVIDIA GPU: the driver interface, with the
// driver looked up when the program runs. What gorgonia.org/cu has is cu's; what
// it lacks (graphs, stream-ordered and pinned memory, host functions, launches
// with parameters of any size, the PTX compiler's log) is called here on cu's
// own handles.
//
//	driver, err := cuda.Probe()           // is there a driver, and which GPUs?
//	runtime.LockOSThread()
//	context, err := cuda.Open(0)          // a context on the first of them
//	module, err := context.Load(ptx)
//	kernel, err := module.Function("train")
//	stream, err := context.NewStream(0)
//	err = stream.Launch(kernel, blocks, 256, 48<<10, cuda.Pointer(gang), cuda.Uint32(left))
//	err = stream.Synchronize()
//
// Start reading at driver.go (Probe), then context.go and launch.go; shim says how
// a program without a driver starts.
//
// # Threads
//
// A context belongs to operating-system threads: [Open] makes it current on the
// calling one, [Context.Bind] on another, and both want runtime.LockOSThread
// first. Every call is made on a thread that has the context. Calls on different
// streams may run at the same time; one stream, event or graph is for one
// goroutine at a time. Closing while another goroutine still calls is an error of
// the caller.
//
// # Errors
//
// A failed call returns an [*Error] with the driver's number. After one that
// [IsFatal] explains, the context is of no more use, and mostly the process: every
// further call fails alike. Work that runs on a stream reports its failure at a
// later call, often on another stream.
//
// # Build
//
// Everything that touches the driver has the build tag cuda and needs cgo with
// CGO_CFLAGS=-I<this folder>/include, absolute; make sets both. Without the tag
// the package has its types, and [Probe] says that weft was built
// without CUDA. It imports nothing else of weft.
package cuda
