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
    uint16_t session; /* 0: closed */
    uint8_t expected; /* next reliable sequence number */
    uint8_t answered; /* how many answers are kept, up to WINDOW */
    uint8_t answer[WINDOW];
    uint8_t answer_due; /* one bit a place */
    bool is_gap_due;
    bool is_gap_told;
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

void core_init(core_t *core);

/* Takes one byte from the line. */
void core_receive(core_t *core, uint8_t byte, uint32_t now_us);

/* Once a millisecond. */
void core_tick(core_t *core, uint32_t now_us);

/* Moves up to `room` bytes that wait for the line into `out`; returns how many. */
size_t core_transmit(core_t *core, uint8_t *out, size_t room);

/* The channel's pulse now, 0 for none. */
uint16_t core_pwm_us(const core_t *core, uint8_t channel);

#endif
