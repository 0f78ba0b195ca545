// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011) as gpu/train/philox
// lays its counter out; see there. A block of four words is a function of seed,
// purpose, stream and number, and costs some 80 instructions.
#pragma once
#include "job.cuh"

// The purposes; gpu/train/philox has the others.
enum : u32 { PHILOX_SHUFFLE = 2, PHILOX_DROPOUT = 3 };

// philox_rounds applies the ten rounds to the counter in w.
DEV void philox_rounds(u32 (&w)[4], u32 key0, u32 key1) {
#pragma unroll
	for (i32 i = 0; i < 10; i++) {
		u64 a = (u64)0xD2511F53u * w[0], b = (u64)0xCD9E8D57u * w[2];
		w[0] = (u32)(b >> 32) ^ w[1] ^ key0;
		w[1] = (u32)b;
		w[2] = (u32)(a >> 32) ^ w[3] ^ key1;
		w[3] = (u32)a;
		key0 += 0x9E3779B9u;
		key1 += 0xBB67AE85u;
	}
}

// philox_block sets w to numbers 4·block to 4·block+3 of the stream.
DEV void philox_block(u64 seed, u32 purpose, u64 stream, u64 block, u32 (&w)[4]) {
	w[0] = (u32)block;
	w[1] = purpose << 24 | ((u32)(block >> 32) & 0xffffffu);
	w[2] = (u32)stream;
	w[3] = (u32)(stream >> 32);
	philox_rounds(w, (u32)seed, (u32)(seed >> 32));
}
