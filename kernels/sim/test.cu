// Kernels for the simulator's own tests.

// p[i] = value
KERNEL(fill, int *p, int n, int value) {
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (i < n) p[i] = value;
}

// p[i] += value
KERNEL(add, int *p, int n, int value) {
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (i < n) p[i] += value;
}

// Runs until *flag is set, then adds 1 to *count.
KERNEL(wait_for, const int *flag, int *count) {
	if (threadIdx.x) return;
	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {}
	atomicAdd(count, 1);
}

// Says that it runs, until *flag is set.
KERNEL(hold, int *arrived, const int *flag) {
	if (threadIdx.x) return;
	atomicAdd(arrived, 1);
	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {}
}

// Runs until all blocks of `grids` launches have come.
KERNEL(meet, int *count, int grids) {
	if (threadIdx.x) return;
	atomicAdd(count, 1);
	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < grids) {}
}

struct Mixed { char a; double b; };

// Every parameter where it belongs, in order of launch.
KERNEL(parameters, double *out, char a, Mixed m, float f, long long l) {
	out[0] = a, out[1] = m.a, out[2] = m.b, out[3] = f, out[4] = (double)l;
}

KERNEL(nothing) {}

// Reverses 256 numbers through dynamic shared memory.
KERNEL(reverse, int *p) {
	DYN_SHARED(int, shared);
	unsigned t = threadIdx.x, n = blockDim.x;
	shared[t] = p[blockIdx.x * n + t];
	__syncthreads();
	p[blockIdx.x * n + t] = shared[n - 1 - t];
}

// Writes shared memory at that byte.
KERNEL(poke_shared, int at) {
	DYN_SHARED(volatile char, shared);
	shared[at] = 1;
}

// Writes p[at].
KERNEL(poke, char *p, long long at) {
	if (threadIdx.x == 0) ((volatile char *)p)[at] = 1;
}

KERNEL(return_before_barrier) {
	if (threadIdx.x == 3) return;
	__syncthreads();
}

KERNEL(different_barriers) {
	if (threadIdx.x & 1) __syncthreads();
	else
		__syncthreads();
}

KERNEL(lost_lane) {
	if (threadIdx.x == 3) return;
	__syncwarp();
}

KERNEL(divide, int *p) { p[0] = 100 / p[1]; }

static int deep(volatile int *p, int n) {
	volatile char room[1024];
	room[0] = (char)n;
	return n ? deep(p, n - 1) + room[0] : *p;
}
KERNEL(overflow_stack, int *p) { p[0] = deep(p, 100000); }

KERNEL(barriers, int n) {
	for (int i = 0; i < n; i++) __syncthreads();
}
