#include "board.h"

void board_init(board_t *board, uint64_t now_us)
{
    core_init(&board->core);
    board->time_us = now_us;
    board->next_pwm_us = now_us + PWM_PERIOD_US;
}

bool board_tick(board_t *board, pwm_record_t *record)
{
    board->time_us += CORE_TICK_US;
    core_tick(&board->core, (uint32_t)board->time_us);
    if (board->time_us < board->next_pwm_us) {
        return false;
    }
    board->next_pwm_us += PWM_PERIOD_US;
    record->time_us = board->time_us;
    for (uint8_t channel = 0; channel < CORE_CHANNELS; channel++) {
        record->pulse_us[channel] = core_pwm_us(&board->core, channel);
    }
    return true;
}
