/* What a C program needs to encode the same picture again and again with
 * libturbojpeg, as the floor of what can be asked of a call from Go:
 *
 *   turbo_loop WIDTH HEIGHT CHANNELS QUALITY < pixels
 *
 * For each line on standard input after the pixels, a number of pictures, it
 * encodes so many and answers the nanoseconds of processor time that took and
 * the last size. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <turbojpeg.h>

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int w = atoi(argv[1]), h = atoi(argv[2]), channels = atoi(argv[3]), quality = atoi(argv[4]);
	int format = channels == 4 ? TJPF_RGBX : channels == 3 ? TJPF_RGB : TJPF_GRAY;
	int samp = channels == 1 ? TJSAMP_GRAY : TJSAMP_420;
	size_t n = (size_t)w * h * channels;
	unsigned char *pix = malloc(n), *out = malloc(tjBufSize(w, h, samp));
	if (!pix || !out || fread(pix, 1, n, stdin) != n)
		return 3;
	tjhandle handle = tjInitCompress();
	long count;
	while (scanf("%ld", &count) == 1) {
		struct timespec a, b;
		unsigned long size = 0;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		for (long i = 0; i < count; i++) {
			size = tjBufSize(w, h, samp);
			if (tjCompress2(handle, pix, w, w * channels, h, format, &out, &size, samp, quality,
					TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT))
				return 4;
		}
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		printf("%lld %lu\n", (b.tv_sec - a.tv_sec) * 1000000000LL + (b.tv_nsec - a.tv_nsec), size);
		fflush(stdout);
	}
	tjDestroy(handle);
	return 0;
}
