/* The core as a process on a pseudo-terminal, in real time.
 *
 *     nod-host [--pwm-fd N] [--drift-ppm P]
 *
 * Prints the path to open on its first line. Servo frames go to N, one pwm_record_t each, in the machine's own
 * time; the board's clock may run faster than that by P millionths, as a cheap resonator does. SIGUSR1 presses
 * the stop button, SIGUSR2 lets go of it, SIGHUP resets the chip. Ends on SIGTERM or when the reader of N is
 * gone. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "board.h"
#include "terminal.h"

/* After a longer sleep (a suspended machine) the ticks in between are dropped: nobody waits for them. */
#define CATCH_UP_US 100000u

static volatile sig_atomic_t is_ending = 0;
static volatile sig_atomic_t is_pressed = 0;
static volatile sig_atomic_t is_reset = 0;

static int64_t drift_ppm = 0;
static uint64_t started_us = 0;

static void on_signal(int number)
{
    switch (number) {
    case SIGUSR1: is_pressed = 1; break;
    case SIGUSR2: is_pressed = 0; break;
    case SIGHUP: is_reset = 1; break;
    default: is_ending = 1; break;
    }
}

static uint64_t machine_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* The board's clock. */
static uint64_t clock_us(void)
{
    int64_t since_us = (int64_t)(machine_us() - started_us);
    return started_us + (uint64_t)(since_us + since_us * drift_ppm / 1000000);
}

/* When the machine's clock shows what the board's does. */
static uint64_t machine_us_at(uint64_t board_us)
{
    int64_t since_us = (int64_t)(board_us - started_us);
    return started_us + (uint64_t)(since_us - since_us * drift_ppm / (1000000 + drift_ppm));
}

static int fail(const char *what)
{
    fprintf(stderr, "nod-host: %s: %s\n", what, strerror(errno));
    return 1;
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
        if (!board_tick(board, &record) || pwm < 0) {
            continue;
        }
        record.time_us = machine_us_at(record.time_us);
        if (write(pwm, &record, sizeof record) < 0 && errno == EPIPE) {
            is_ending = 1;
        }
    }
}

/* Takes the options; the descriptor for servo frames, -1 for none, -2 if they make no sense. */
static int read_options(int count, char **words)
{
    int pwm = -1;
    for (int i = 1; i < count; i += 2) {
        char *end = NULL;
        long value = i + 1 < count ? strtol(words[i + 1], &end, 10) : 0;
        if (end == NULL || *end != '\0') {
            return -2;
        }
        if (strcmp(words[i], "--pwm-fd") == 0 && value >= 0) {
            pwm = (int)value;
        } else if (strcmp(words[i], "--drift-ppm") == 0 && labs(value) < 100000) {
            drift_ppm = value;
        } else {
            return -2;
        }
    }
    return pwm;
}

int main(int count, char **words)
{
    int pwm = read_options(count, words);
    if (pwm == -2) {
        fprintf(stderr, "usage: nod-host [--pwm-fd N] [--drift-ppm P]\n");
        return 2;
    }
    if (pwm >= 0 && fcntl(pwm, F_SETFL, O_NONBLOCK) != 0) { /* a slow reader loses frames, the core no time */
        return fail("--pwm-fd");
    }
    struct sigaction action = { .sa_handler = on_signal };
    for (const int *number = (const int[]) { SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, 0 }; *number; number++) {
        sigaction(*number, &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);

    char path[128];
    int terminal = terminal_open(path, sizeof path);
    if (terminal < 0) {
        return fail("cannot open a pseudo-terminal");
    }
    printf("%s\n", path);
    fflush(stdout);

    board_t board = { 0 };
    started_us = machine_us();
    board_init(&board, started_us, RESET_CAUSE_POWER);
    while (!is_ending) {
        if (is_reset) {
            is_reset = 0;
            board_init(&board, clock_us(), RESET_CAUSE_OTHER);
        }
        board.is_stop_line_open = is_pressed != 0;
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
