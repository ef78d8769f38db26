/* The firmware without the chip: bytes in, ticks in, bytes and pulses out. No heap, no float, no clock of its
 * own: every call says what time it is, in microseconds that wrap. */
#ifndef NOD_CORE_H
#define NOD_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "motion.h"
#include "wire.h"

#define CORE_TICK_US 1000u
#define CORE_CHANNELS MAX_JOINTS
#define WINDOW 8u /* reliable messages that may wait for their answer */

typedef struct {
    decoder_t decoder;
    motion_t motion;
    uint8_t state;
    bool is_attached;
    uint32_t pins; /* one bit for each pin that can drive a servo */
    uint8_t reset_cause;
    uint8_t stop_line_ticks; /* how long the stop line has been open */
    uint16_t pulse_period_us;
    uint16_t session; /* 0: closed */
    uint8_t expected; /* next reliable sequence number */
    uint8_t answered; /* how many answers are kept, up to WINDOW */
    uint8_t answer[WINDOW];
    uint8_t answer_due; /* one bit a place */
    bool is_gap_due;
    uint8_t gap_wait_ticks; /* until a gap is told again */
    bool is_welcome_due;
    uint16_t welcome_session;
    bool is_stop_ack_due;
    uint32_t stop_ack_token;
    uint32_t stop_token;
    bool is_pong_due;
    pong_t pong;
    bool is_status_due;
    uint8_t status_ticks;
    uint32_t now_us;
    uint32_t intent_us; /* when a set-point was last accepted */
    uint8_t last_reason;
    uint16_t accepted;
    uint16_t refused;
    uint16_t misread; /* frames whole but senseless */
    uint16_t underruns;
    uint8_t wire[MAX_WIRE_BYTES];
    uint8_t wire_size;
    uint8_t wire_sent;
} core_t;

/* `pins` has one bit for each pin on which the board can drive a servo. The clock begins with the first tick,
 * which comes before the first byte. */
void core_init(core_t *core, uint32_t pins, uint8_t reset_cause);

/* Takes one byte from the line. */
void core_receive(core_t *core, uint8_t byte, uint32_t now_us);

/* Once a millisecond. The stop line runs to ground through a normally closed button, so that a cut wire is a
 * stop too; it is open when the pin reads high. */
void core_tick(core_t *core, uint32_t now_us, bool is_stop_line_open);

/* Moves up to `room` bytes that wait for the line into `out`; returns how many. */
size_t core_transmit(core_t *core, uint8_t *out, size_t room);

/* The channel's pulse now in eighths of a microsecond, 0 for none. */
uint16_t core_pulse_us8(const core_t *core, uint8_t channel);

/* The same, rounded to whole microseconds. */
uint16_t core_pulse_us(const core_t *core, uint8_t channel);

/* From the beginning of one pulse to the beginning of the next. */
uint16_t core_pulse_period_us(const core_t *core);

/* The pin of a channel that has pulses. */
uint8_t core_pin(const core_t *core, uint8_t channel);

#endif
