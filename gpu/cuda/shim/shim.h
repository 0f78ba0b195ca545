// What shim.c offers to Go. Its symbols are hidden like all others here.
#include <stddef.h>

enum { WEFT_CUDA_LOADED, WEFT_CUDA_NOT_OPENED, WEFT_CUDA_NO_INIT };

int weft_cuda_load(const char *path, char *why, size_t size);
const char *weft_cuda_path(void);
int weft_cuda_has(const char *name);
