// Kernels for this package's tests: compiled by g++ for the simulator and by
// clang, with no toolkit, to kernels.ptx for a GPU. The clang command is in
// ptx_test.go.
#if defined(__CUDA__)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)
#define DYN_SHARED(T, name) T *name = (T *)shared_memory
extern __attribute__((shared)) float shared_memory[];
#define INDEX (__nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() + __nvvm_read_ptx_sreg_tid_x())
#define THREAD __nvvm_read_ptx_sreg_tid_x()
#define THREADS __nvvm_read_ptx_sreg_ntid_x()
#define BARRIER() __nvvm_bar_sync(0)
#else
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)
#define THREAD threadIdx.x
#define THREADS blockDim.x
#define BARRIER() __syncthreads()
#endif

// y += a x
KERNEL(add, const float *x, float *y, unsigned n, float a) {
	unsigned i = INDEX;
	if (i < n) y[i] += a * x[i];
}

// Every parameter as 8 bytes.
KERNEL(scalars, unsigned long long *out, int a, unsigned b, long long c, unsigned long long d, float e, double f) {
	if (INDEX) return;
	out[0] = (unsigned long long)(long long)a;
	out[1] = b;
	out[2] = (unsigned long long)c;
	out[3] = d;
	*(float *)(out + 4) = e;
	*(double *)(out + 5) = f;
}

struct __attribute__((aligned(16))) Big { unsigned words[20]; };

// A struct between scalars of other alignment.
KERNEL(structs, unsigned *out, unsigned char a, Big b, unsigned c) {
	unsigned i = INDEX;
	if (i < 20) out[i] = b.words[i];
	if (i == 20) out[i] = a;
	if (i == 21) out[i] = c;
}

// More parameters than a launch takes without allocating.
KERNEL(many, unsigned *out, unsigned char a0, unsigned a1, unsigned a2, unsigned a3, unsigned a4, unsigned a5, unsigned a6,
	unsigned a7, unsigned a8, unsigned a9, unsigned a10, unsigned a11, unsigned a12, unsigned a13, unsigned a14,
	unsigned a15, unsigned a16, unsigned a17) {
	if (INDEX) return;
	unsigned all[] = {a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17};
#pragma unroll
	for (int i = 0; i < 18; i++) out[i] = all[i];
}

// Waits until the host, or another stream, sets *flag, then adds 1 to *count.
KERNEL(wait_for, const volatile unsigned *flag, unsigned *count) {
	if (THREAD == 0) {
		while (!*flag) ;
		++*count;
	}
}

KERNEL(increase, unsigned *count, unsigned by) {
	if (INDEX == 0) *count += by;
}

// out = x's first words in reverse, through dynamic shared memory
KERNEL(reverse, const float *x, float *out) {
	DYN_SHARED(float, s);
	s[THREAD] = x[THREAD];
	BARRIER();
	out[THREAD] = s[THREADS - 1 - THREAD];
}

// An illegal address.
KERNEL(stray, unsigned *p) { p[INDEX] = 1; }
