/* The core as a shared library, stepped in lock step by whoever holds the clock. */
#include <stdlib.h>

#include "board.h"

board_t *nod_new(uint64_t now_us)
{
    board_t *board = malloc(sizeof *board);
    if (board != NULL) {
        board->is_stop_line_open = false;
        board_init(board, now_us, RESET_CAUSE_POWER);
    }
    return board;
}

void nod_free(board_t *board) { free(board); }

void nod_receive(board_t *board, const uint8_t *data, size_t size, uint64_t now_us)
{
    for (size_t i = 0; i < size; i++) {
        core_receive(&board->core, data[i], (uint32_t)now_us);
    }
}

/* The same, byte by byte, and after each reliable message that was carried out joint 0's rest goes to `rests`:
 * with every message another rest, this tells what was carried out, and how often. Returns how many. */
size_t nod_receive_and_tell(
    board_t *board, const uint8_t *data, size_t size, uint64_t now_us, int32_t *rests, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t before = board->core.expected;
        core_receive(&board->core, data[i], (uint32_t)now_us);
        if (board->core.expected != before && count < room) {
            rests[count++] = board->core.motion.joint[0].rest_urad;
        }
    }
    return count;
}

/* Ticks up to `now_us`; servo frames go to `records`. Returns how many; stops early when there is no room. */
size_t nod_advance(board_t *board, uint64_t now_us, pwm_record_t *records, size_t room)
{
    size_t count = 0;
    while (count < room && board->time_us + CORE_TICK_US <= now_us) {
        count += board_tick(board, &records[count]) ? 1u : 0u;
    }
    return count;
}

/* The same, but tells where each joint is commanded to be after each tick, in urad. Returns how many ticks. */
size_t nod_trace(board_t *board, uint64_t now_us, int32_t *positions, size_t room)
{
    pwm_record_t record;
    size_t count = 0;
    for (; count < room && board->time_us + CORE_TICK_US <= now_us; count++) {
        (void)board_tick(board, &record);
        for (uint8_t j = 0; j < MAX_JOINTS; j++) {
            positions[count * MAX_JOINTS + j] = board->core.motion.position_urad[j];
        }
    }
    return count;
}

size_t nod_transmit(board_t *board, uint8_t *out, size_t room)
{
    return core_transmit(&board->core, out, room);
}

uint16_t nod_pulse_us(const board_t *board, uint8_t channel) { return core_pulse_us(&board->core, channel); }

/* Presses the stop button, or lets go of it. */
void nod_open_stop_line(board_t *board, bool is_open) { board->is_stop_line_open = is_open; }

/* The chip begins anew; only its clock, which is the caller's, goes on. */
void nod_reset(board_t *board, uint64_t now_us) { board_init(board, now_us, RESET_CAUSE_OTHER); }

/* For tests that compare the two ends byte by byte. */
size_t nod_encode(uint8_t type, uint8_t sequence, uint8_t ack, const uint8_t *body, uint8_t size, uint8_t *out)
{
    frame_t frame = { .type = type, .sequence = sequence, .ack = ack, .size = size };
    for (uint8_t i = 0; i < size && i < MAX_BODY_BYTES; i++) {
        frame.body[i] = body[i];
    }
    return wire_encode(&frame, out);
}
