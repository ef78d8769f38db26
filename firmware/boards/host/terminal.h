/* A pseudo-terminal, to be opened by a host as if a board hung on it. */
#ifndef NOD_TERMINAL_H
#define NOD_TERMINAL_H

#include <stddef.h>

/* Opens the pair, raw and without blocking, and keeps the far end open too, so that a host may come and go. The
 * far end's path goes to `path`. Returns a descriptor, or -1 with errno set. */
int terminal_open(char *path, size_t room);

#endif
