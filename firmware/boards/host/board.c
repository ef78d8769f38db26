#include "board.h"

#define ALL_PINS 0xFFFFFFFFu

void board_init(board_t *board, uint64_t now_us, uint8_t reset_cause)
{
    core_init(&board->core, ALL_PINS, reset_cause);
    core_tick(&board->core, (uint32_t)now_us, board->is_stop_line_open); /* its clock begins here */
    board->time_us = now_us;
    board->next_pwm_us = now_us + core_pulse_period_us(&board->core);
}

bool board_tick(board_t *board, pwm_record_t *record)
{
    board->time_us += CORE_TICK_US;
    core_tick(&board->core, (uint32_t)board->time_us, board->is_stop_line_open);
    if (board->time_us < board->next_pwm_us) {
        return false;
    }
    board->next_pwm_us += core_pulse_period_us(&board->core);
    record->time_us = board->time_us;
    for (uint8_t channel = 0; channel < CORE_CHANNELS; channel++) {
        record->pulse_us[channel] = core_pulse_us(&board->core, channel);
    }
    return true;
}
