#define _GNU_SOURCE
#include "terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>

int terminal_open(char *path, size_t room)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0
        || ptsname_r(terminal, path, room) != 0) {
        return -1;
    }
    int far_end = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios settings;
    if (far_end < 0 || tcgetattr(far_end, &settings) != 0) {
        return -1;
    }
    cfmakeraw(&settings);
    return tcsetattr(far_end, TCSANOW, &settings) == 0 ? terminal : -1;
}
