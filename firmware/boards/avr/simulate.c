/* The AVR image on a simulated chip.
 *
 *     nod-avr --image FILE [--pins A,B,C,D] [--first-us T] [--pwm-fd N | --lockstep [--measure]]
 *
 * Pins are those of the channels, T is what the firmware's clock shows at first. Without --lockstep it is nod-host in all but the name: a pseudo-terminal, real time, the same signals, and
 * pwm_record_t as measured from the pins. With it, it has no clock of its own; on stdin come requests, each
 *
 *     u8 command, u64 until_us, u16 size, size bytes for the line
 *
 * little-endian. 'r' sends the bytes and runs until then; its answer on stdout is three u32 (how many bytes,
 * pwm_record_t and chip_pulse_t) and then these. 'o' opens the stop line, 'c' closes it, 'x' pulls the reset pin, 'h'
 * hangs the chip; they have no answer. 'q' is answered by chip_figures_t. */
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

#include "../host/terminal.h"
#include "chip.h"

#define REQUEST_BYTES 11u
#define STEP_US 500u
#define CATCH_UP_US 100000u /* after a longer sleep the time in between is left out */
#define ROOM 4096u

typedef struct {
    const char *image;
    uint8_t pins[CORE_CHANNELS];
    int pwm;
    uint32_t first_us;
    bool is_lockstep;
    bool is_measured;
} options_t;

static volatile sig_atomic_t is_ending = 0;
static volatile sig_atomic_t is_pressed = 0;
static volatile sig_atomic_t is_reset = 0;

static void on_signal(int number)
{
    switch (number) {
    case SIGUSR1: is_pressed = 1; break;
    case SIGUSR2: is_pressed = 0; break;
    case SIGHUP: is_reset = 1; break;
    default: is_ending = 1; break;
    }
}

static int fail(const char *what)
{
    fprintf(stderr, "nod-avr: %s: %s\n", what, strerror(errno));
    return 1;
}

static uint64_t machine_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* What the far end of the line and the reader of --pwm-fd get; `offset_us` is the machine's time less the chip's. */
static void hand_on(int terminal, int pwm, uint64_t offset_us)
{
    static uint8_t bytes[ROOM];
    static pwm_record_t records[ROOM];
    static chip_pulse_t pulses[ROOM];
    size_t count = chip_bytes(bytes, ROOM);
    if (count > 0 && write(terminal, bytes, count) < 0 && errno != EAGAIN) {
        is_ending = 1; /* EAGAIN: a host that does not read loses bytes, as on a cable */
    }
    count = chip_records(records, ROOM);
    (void)chip_pulses(pulses, ROOM);
    for (size_t i = 0; i < count && pwm >= 0; i++) {
        records[i].time_us += offset_us;
        if (write(pwm, &records[i], sizeof records[i]) < 0 && errno == EPIPE) {
            is_ending = 1;
        }
    }
}

static int run_on_terminal(int pwm)
{
    char path[128];
    int terminal = terminal_open(path, sizeof path);
    if (terminal < 0) {
        return fail("cannot open a pseudo-terminal");
    }
    if (pwm >= 0 && fcntl(pwm, F_SETFL, O_NONBLOCK) != 0) {
        return fail("--pwm-fd");
    }
    printf("%s\n", path);
    fflush(stdout);
    uint64_t offset_us = machine_us() - chip_us();
    bool was_pressed = false;
    while (!is_ending) {
        if (is_reset) {
            is_reset = 0;
            chip_reset();
        }
        if (was_pressed != (is_pressed != 0)) {
            was_pressed = is_pressed != 0;
            chip_open_stop_line(was_pressed);
        }
        uint64_t now_us = machine_us() - offset_us;
        if (now_us > chip_us() + CATCH_UP_US) {
            offset_us += now_us - chip_us() - STEP_US;
            now_us = chip_us() + STEP_US;
        }
        chip_run(now_us); /* first, so that no byte comes before it was sent */
        uint8_t data[256];
        ssize_t size = chip_queued() < sizeof data ? read(terminal, data, sizeof data) : 0;
        if (size > 0) {
            chip_send(data, (size_t)size);
        }
        hand_on(terminal, pwm, offset_us);
        struct pollfd polls[2] = { { .fd = terminal, .events = POLLIN }, { .fd = pwm, .events = 0 } };
        struct timespec wait = { .tv_nsec = STEP_US * 1000 };
        if (ppoll(polls, pwm >= 0 ? 2 : 1, &wait, NULL) < 0 && errno != EINTR) {
            return fail("poll");
        }
        if (pwm >= 0 && (polls[1].revents & (POLLERR | POLLHUP)) != 0) {
            break;
        }
    }
    return 0;
}

static void answer_run(void)
{
    static uint8_t bytes[ROOM];
    static pwm_record_t records[ROOM];
    static chip_pulse_t pulses[ROOM];
    uint32_t counts[3] = {
        (uint32_t)chip_bytes(bytes, ROOM),
        (uint32_t)chip_records(records, ROOM),
        (uint32_t)chip_pulses(pulses, ROOM),
    };
    fwrite(counts, sizeof counts, 1, stdout);
    fwrite(bytes, 1, counts[0], stdout);
    fwrite(records, sizeof records[0], counts[1], stdout);
    fwrite(pulses, sizeof pulses[0], counts[2], stdout);
    fflush(stdout);
}

static int run_in_lock_step(void)
{
    uint8_t head[REQUEST_BYTES];
    static uint8_t data[UINT16_MAX];
    while (!is_ending && fread(head, sizeof head, 1, stdin) == 1) {
        uint64_t until_us = get_u32(head + 1) | (uint64_t)get_u32(head + 5) << 32;
        uint16_t size = get_u16(head + 9);
        if (size > 0 && fread(data, size, 1, stdin) != 1) {
            return 1;
        }
        switch (head[0]) {
        case 'r':
            chip_send(data, size);
            chip_run(until_us);
            answer_run();
            break;
        case 'o':
        case 'c': chip_open_stop_line(head[0] == 'o'); break;
        case 'x': chip_reset(); break;
        case 'h': chip_hang(); break;
        case 'q': {
            chip_figures_t figures = chip_figures();
            fwrite(&figures, sizeof figures, 1, stdout);
            fflush(stdout);
            break;
        }
        default: fprintf(stderr, "nod-avr: no such request: %u\n", head[0]); return 1;
        }
    }
    return 0;
}

static bool read_pins(const char *words, uint8_t pins[CORE_CHANNELS])
{
    unsigned pin[4];
    char behind;
    if (sscanf(words, "%u,%u,%u,%u%c", &pin[0], &pin[1], &pin[2], &pin[3], &behind) != 4) {
        return false;
    }
    for (size_t i = 0; i < CORE_CHANNELS; i++) {
        pins[i] = (uint8_t)pin[i];
    }
    return true;
}

static bool read_options(int count, char **words, options_t *options)
{
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--lockstep") == 0) {
            options->is_lockstep = true;
        } else if (strcmp(words[i], "--measure") == 0) {
            options->is_measured = true;
        } else if (strcmp(words[i], "--image") == 0 && *value) {
            options->image = words[++i];
        } else if (strcmp(words[i], "--pwm-fd") == 0 && *value) {
            options->pwm = atoi(words[++i]);
        } else if (strcmp(words[i], "--first-us") == 0 && *value) {
            options->first_us = (uint32_t)strtoul(words[++i], NULL, 10);
        } else if (strcmp(words[i], "--pins") == 0 && read_pins(value, options->pins)) {
            i++;
        } else {
            return false;
        }
    }
    return options->image != NULL;
}

int main(int count, char **words)
{
    options_t options = { .pins = { 9, 10, 11, 6 }, .pwm = -1 };
    if (!read_options(count, words, &options)) {
        fprintf(stderr,
            "usage: nod-avr --image FILE [--pins A,B,C,D] [--first-us T] [--pwm-fd N | --lockstep [--measure]]\n");
        return 2;
    }
    struct sigaction action = { .sa_handler = on_signal };
    for (const int *number = (const int[]) { SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, 0 }; *number; number++) {
        sigaction(*number, &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    if (!chip_start(options.image, options.pins, options.first_us, options.is_measured)) {
        fprintf(stderr, "nod-avr: %s: not an image of this firmware; `make -C firmware avr`\n", options.image);
        return 1;
    }
    return options.is_lockstep ? run_in_lock_step() : run_on_terminal(options.pwm);
}
