// Philox against the known answers that Random123 publishes, and the counter's
// layout; the same as gpu/train/philox's tests.
#include "harness.hpp"
#include "../philox.cuh"

using namespace harness;

static void rounds(u32 c0, u32 c1, u32 c2, u32 c3, u32 k0, u32 k1, u32 w0, u32 w1, u32 w2, u32 w3) {
	u32 w[4] = {c0, c1, c2, c3}, want[4] = {w0, w1, w2, w3};
	philox_rounds(w, k0, k1);
	for (int i = 0; i < 4; i++)
		if (w[i] != want[i]) FAIL("rounds(%x …): word %d is %x, want %x", c0, i, w[i], want[i]);
}

static void layout(u64 block) {
	u32 got[4], want[4] = {0x98765432, 0x03FEDCBA, 0x00112233, 0xAABBCCDD};
	philox_block(0x1122334455667788, PHILOX_DROPOUT, 0xAABBCCDD00112233, block, got);
	philox_rounds(want, 0x55667788, 0x11223344);
	for (int i = 0; i < 4; i++)
		if (got[i] != want[i]) FAIL("block %llx: word %d is %x, want %x", block, i, got[i], want[i]);
}

int main() {
	const u32 ones = 0xffffffff;
	rounds(0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
	rounds(ones, ones, ones, ones, ones, ones, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
	rounds(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
	layout(0x00FEDCBA98765432);
	layout(0x77FEDCBA98765432); // modulo 2^56
	return failures != 0;
}
