/* A loop in C around libturbojpeg, as the floor of what a pool can ask of it:
 *
 *   turbo_peer WIDTH HEIGHT ITEMS INPUT
 *
 * INPUT holds four pictures of RGB pixels; item i is the picture i modulo four. It
 * answers one line of JSON, as pools.Answer has it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <turbojpeg.h>

#define PICTURES 4
#define QUALITY 85

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int w = atoi(argv[1]), h = atoi(argv[2]);
	long items = atol(argv[3]), bytes = 0;
	size_t n = (size_t)w * h * 3;
	unsigned char *pix = malloc(n * PICTURES), *out = malloc(tjBufSize(w, h, TJSAMP_420));
	FILE *in = fopen(argv[4], "rb");
	if (!pix || !out || !in || fread(pix, n, PICTURES, in) != PICTURES)
		return 3;
	tjhandle handle = tjInitCompress();
	double wall = 0, cpu = 0;
	for (long i = -PICTURES; i < items; i++) {
		if (i == 0) {
			bytes = 0;
			wall = seconds(CLOCK_MONOTONIC);
			cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
		}
		unsigned long size = tjBufSize(w, h, TJSAMP_420);
		if (tjCompress2(handle, pix + n * ((i + PICTURES) % PICTURES), w, w * 3, h, TJPF_RGB, &out, &size, TJSAMP_420,
				QUALITY, TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT))
			return 4;
		bytes += size;
	}
	printf("{\"wall_seconds\": %.9f, \"cpu_seconds\": %.9f, \"items\": %ld, \"output_bytes\": %ld}\n",
	       seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, items, bytes);
	tjDestroy(handle);
	return 0;
}
