/* The host board: the core, its 1 kHz clock, its servo frames and its stop line. */
#ifndef NOD_BOARD_H
#define NOD_BOARD_H

#include "../../core/core.h"

/* The beginning of one pulse on every channel, as written to --pwm-fd and handed out by the library. */
typedef struct {
    uint64_t time_us;
    uint16_t pulse_us[CORE_CHANNELS];
} pwm_record_t;

typedef struct {
    core_t core;
    uint64_t time_us; /* of the last tick */
    uint64_t next_pwm_us;
    bool is_stop_line_open;
} board_t;

void board_init(board_t *board, uint64_t now_us, uint8_t reset_cause);

/* One tick; true when it is time for a servo frame, which is then in `record`. */
bool board_tick(board_t *board, pwm_record_t *record);

#endif
