/* The core as a process on a pseudo-terminal, in real time.
 *
 *     nod-host [--pwm-fd N]
 *
 * Prints the path to open on its first line. Servo frames go to N, one pwm_record_t each. Ends on SIGTERM or
 * when the reader of N is gone. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

/* After a longer sleep (a suspended machine) the ticks in between are dropped: nobody waits for them. */
#define CATCH_UP_US 100000u

static volatile sig_atomic_t is_ending = 0;

static void end(int signal_number)
{
    (void)signal_number;
    is_ending = 1;
}

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int fail(const char *what)
{
    fprintf(stderr, "nod-host: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Opens the pair and keeps the far end open too, so that a host may come and go. */
static int open_terminal(char *path, size_t room)
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

static void take_bytes(board_t *board, int terminal)
{
    uint8_t data[256];
    ssize_t size;
    while ((size = read(terminal, data, sizeof data)) > 0) {
        uint32_t now_us = (uint32_t)clock_us();
        for (ssize_t i = 0; i < size; i++) {
            core_receive(&board->core, data[i], now_us);
        }
    }
}

static void give_bytes(board_t *board, int terminal)
{
    static uint8_t waiting[256];
    static size_t used = 0;
    used += core_transmit(&board->core, waiting + used, sizeof waiting - used);
    if (used == 0) {
        return;
    }
    ssize_t written = write(terminal, waiting, used);
    if (written > 0) {
        used -= (size_t)written;
        memmove(waiting, waiting + written, used);
    }
}

static void run_ticks(board_t *board, int pwm)
{
    pwm_record_t record;
    uint64_t now_us = clock_us();
    if (now_us > board->time_us + CATCH_UP_US) {
        board->time_us = now_us - CORE_TICK_US;
        board->next_pwm_us = now_us;
    }
    while (board->time_us + CORE_TICK_US <= now_us) {
        if (board_tick(board, &record) && pwm >= 0
            && write(pwm, &record, sizeof record) < 0 && errno == EPIPE) {
            is_ending = 1;
        }
    }
}

int main(int count, char **words)
{
    int pwm = -1;
    if (count == 3 && strcmp(words[1], "--pwm-fd") == 0) {
        pwm = atoi(words[2]);
        if (fcntl(pwm, F_SETFL, O_NONBLOCK) != 0) { /* a slow reader loses frames, the core loses no time */
            return fail("--pwm-fd");
        }
    } else if (count != 1) {
        fprintf(stderr, "usage: nod-host [--pwm-fd N]\n");
        return 2;
    }
    struct sigaction action = { .sa_handler = end };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    char path[128];
    int terminal = open_terminal(path, sizeof path);
    if (terminal < 0) {
        return fail("cannot open a pseudo-terminal");
    }
    printf("%s\n", path);
    fflush(stdout);

    board_t board;
    board_init(&board, clock_us());
    while (!is_ending) {
        struct pollfd polls[2] = { { .fd = terminal, .events = POLLIN }, { .fd = pwm, .events = 0 } };
        uint64_t due_us = board.time_us + CORE_TICK_US;
        uint64_t now_us = clock_us();
        struct timespec wait = { .tv_nsec = due_us > now_us ? (long)(due_us - now_us) * 1000L : 0L };
        if (ppoll(polls, pwm >= 0 ? 2 : 1, &wait, NULL) < 0 && errno != EINTR) {
            return fail("poll");
        }
        if (pwm >= 0 && (polls[1].revents & (POLLERR | POLLHUP)) != 0) {
            break;
        }
        take_bytes(&board, terminal);
        run_ticks(&board, pwm);
        give_bytes(&board, terminal);
    }
    return 0;
}
