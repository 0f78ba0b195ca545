// Four floats side by side: what a thread loads and stores at once.
#pragma once
#include "job.cuh"

struct Four { float f[4]; };

// aligned says whether fours at multiples of four from p are one access each.
DEV bool aligned(const float *p) { return ((size_t)p & 15) == 0; }

// load_whole and store_whole are one access of 16 bytes.
DEV Four load_whole(const float *p) {
	float4 v = *(const float4 *)p;
	return {{v.x, v.y, v.z, v.w}};
}
DEV void store_whole(float *p, const Four &q) { *(float4 *)p = float4{q.f[0], q.f[1], q.f[2], q.f[3]}; }

// load_global and store_global are that for global memory, if said so; else
// zeros and nothing. In PTX of their own, since clang takes an access apart that
// has a neighbour for the rest of a row.
DEV Four load_global(const float *p, bool yes) {
#ifdef __CUDA_ARCH__
	Four q;
	asm volatile("{ .reg .u64 a; .reg .pred yes; cvta.to.global.u64 a, %4; setp.ne.s32 yes, %5, 0; "
		"mov.f32 %0, 0f00000000; mov.f32 %1, 0f00000000; mov.f32 %2, 0f00000000; mov.f32 %3, 0f00000000; "
		"@yes ld.global.v4.f32 {%0, %1, %2, %3}, [a]; }"
		: "=f"(q.f[0]), "=f"(q.f[1]), "=f"(q.f[2]), "=f"(q.f[3]) : "l"(p), "r"((i32)yes) : "memory");
	return q;
#else
	return yes ? load_whole(p) : Four{};
#endif
}
DEV void store_global(float *p, const Four &q, bool yes) {
#ifdef __CUDA_ARCH__
	asm volatile("{ .reg .u64 a; .reg .pred yes; cvta.to.global.u64 a, %4; setp.ne.s32 yes, %5, 0; "
		"@yes st.global.v4.f32 [a], {%0, %1, %2, %3}; }"
		:: "f"(q.f[0]), "f"(q.f[1]), "f"(q.f[2]), "f"(q.f[3]), "l"(p), "r"((i32)yes) : "memory");
#else
	if (yes) store_whole(p, q);
#endif
}

// load_four returns p[0] to p[3] of global memory, zeros from p[left] on. wide:
// p is aligned.
DEV Four load_four(const float *p, i64 left, bool wide) {
	const bool whole = wide && left >= 4;
	Four q = load_global(p, whole);
	if (!whole && left > 0) {
#pragma unroll
		for (i32 i = 0; i < 4; i++)
			if (i < left) q.f[i] = p[i];
	}
	return q;
}

// store_four sets p[0] to p[3] of global memory, but nothing from p[left] on.
DEV void store_four(float *p, const Four &q, i64 left, bool wide) {
	const bool whole = wide && left >= 4;
	store_global(p, q, whole);
	if (!whole && left > 0) {
#pragma unroll
		for (i32 i = 0; i < 4; i++)
			if (i < left) p[i] = q.f[i];
	}
}

// shift moves every element one place to the front. A loop that is not unrolled
// thus finds each of them at a place known to the compiler, in registers.
template <class T, int N> DEV void shift(T (&v)[N]) {
#pragma unroll
	for (i32 i = 1; i < N; i++) v[i - 1] = v[i];
}
template <int M, int N> DEV void shift(float (&v)[M][N]) {
#pragma unroll
	for (i32 i = 1; i < M; i++)
#pragma unroll
		for (i32 j = 0; j < N; j++) v[i - 1][j] = v[i][j];
}
