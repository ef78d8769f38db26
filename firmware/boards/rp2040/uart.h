/* The line to the computer: UART0 on GP0 and GP1, 500 kBd 8N1. */
#ifndef NOD_RP2040_UART_H
#define NOD_RP2040_UART_H

#include "../../core/core.h"

void uart_init(void);

/* Gives the core the bytes that have come. */
void uart_receive(core_t *core);

/* Sends what the core has, as far as there is room; an interrupt tells when there is more. */
void uart_transmit(core_t *core);

/* Whether bytes wait for uart_receive. */
bool uart_has_bytes(void);

#endif
