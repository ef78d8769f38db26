/* Servo pulses, made by the PWM slices: once set they go on without the processor, exact to an eighth of a
 * microsecond. */
#ifndef NOD_RP2040_PULSES_H
#define NOD_RP2040_PULSES_H

#include "../../core/core.h"

/* GP2 to GP15: each an output of its own. GP16 on would be the same outputs once more. */
#define PULSE_PINS 0xFFFCu

void pulses_init(void);

/* Takes over what the core wants; the next pulses show it. */
void pulses_update(const core_t *core);

#endif
