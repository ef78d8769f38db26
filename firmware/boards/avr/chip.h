/* A simulated ATmega328P with the firmware on it: simavr with a line of the true speed and depth, pins looked at
 * from outside, a stop button and a reset pin.
 *
 * simavr is under the GPL. What links it is a program for tests of its own; nothing of it gets into the robot. */
#ifndef NOD_CHIP_H
#define NOD_CHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../host/board.h"

#define CHIP_HZ 16000000u
#define CHIP_QUEUE_BYTES 65536u
#define CHIP_PINS 18u

/* One pulse on a pin, as an oscilloscope sees it. */
typedef struct {
    uint64_t start_ns;
    uint32_t width_ns;
    uint32_t pin;
} chip_pulse_t;

typedef struct {
    uint32_t overruns; /* bytes that came when the chip's buffer was full */
    uint32_t free_stack_bytes; /* never used so far */
    uint32_t tick_cycles; /* the longest, with whatever interrupts came meanwhile */
    uint32_t frame_cycles; /* the longest core_receive */
    uint32_t late_cycles; /* the longest wait of a byte in the chip's buffer */
    uint32_t resets; /* by the watchdog */
} chip_figures_t;

/* Loads the image; `pins` are those of the channels 0 to 3. With `is_measured` it also times the core's functions,
 * which takes some four times as long. False when it does not load. */
bool chip_start(const char *image, const uint8_t pins[CORE_CHANNELS], uint32_t first_us, bool is_measured);

/* Microseconds of the chip since it was switched on. */
uint64_t chip_us(void);

void chip_run(uint64_t until_us);

/* Queues bytes for the line, which takes 10 bits of time for each; what finds no room is lost. */
void chip_send(const uint8_t *data, size_t size);
size_t chip_queued(void);

/* What came over the line; servo frames; single pulses. They return how many, and forget them. */
size_t chip_bytes(uint8_t *out, size_t room);
size_t chip_records(pwm_record_t *out, size_t room);
size_t chip_pulses(chip_pulse_t *out, size_t room);

void chip_open_stop_line(bool is_open);
void chip_reset(void);

/* From here on the chip runs in a circle, as a bug would make it. */
void chip_hang(void);

chip_figures_t chip_figures(void);

#endif
