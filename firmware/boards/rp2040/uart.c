#include "uart.h"

#include "chip.h"

#define BAUD 500000u
#define PIN_TX 0u
#define PIN_RX 1u
#define RING_BYTES 512u /* ten milliseconds of line */

static uint8_t ring[RING_BYTES];
static volatile uint16_t ring_in; /* counts what the interrupt wrote, */
static volatile uint16_t ring_out; /* and what the core has read */

void uart_init(void)
{
    ring_in = ring_out = 0;
    REGISTER(UART0_IBRD) = CHIP_HZ / (16u * BAUD);
    REGISTER(UART0_FBRD) = 0;
    REGISTER(UART0_LCR_H) = UART_LCR_8N1_BUFFERED; /* takes the two before with it */
    REGISTER(UART0_CR) = UART_CR_ON;
    REGISTER(PAD(PIN_TX)) = PAD_OUTPUT;
    REGISTER(PAD(PIN_RX)) = PAD_PULLED_UP; /* a line that nobody drives is at rest */
    REGISTER(PIN_CTRL(PIN_TX)) = PIN_UART;
    REGISTER(PIN_CTRL(PIN_RX)) = PIN_UART;
    REGISTER(UART0_IMSC) = UART_RX | UART_RX_PAUSE;
    REGISTER(NVIC_ISER) = BIT(IRQ_UART0);
}

/* Bytes that find no room are lost; the checksum of their frame tells. */
void on_uart0(void)
{
    while (!(REGISTER(UART0_FR) & UART_FR_RX_EMPTY)) {
        uint8_t byte = (uint8_t)REGISTER(UART0_DR);
        if ((uint16_t)(ring_in - ring_out) < RING_BYTES) {
            ring[ring_in % RING_BYTES] = byte;
            ring_in = (uint16_t)(ring_in + 1u);
        }
    }
    if (REGISTER(UART0_MIS) & UART_TX) {
        REGISTER(UART0_IMSC) = UART_RX | UART_RX_PAUSE; /* it has woken the main loop, which is all it is for */
    }
}

bool uart_has_bytes(void) { return ring_in != ring_out; }

void uart_receive(core_t *core)
{
    while (uart_has_bytes()) {
        core_receive(core, ring[ring_out % RING_BYTES], clock_us());
        ring_out = (uint16_t)(ring_out + 1u);
    }
}

void uart_transmit(core_t *core)
{
    uint8_t byte;
    while (!(REGISTER(UART0_FR) & UART_FR_TX_FULL)) {
        if (core_transmit(core, &byte, 1) == 0) {
            return;
        }
        REGISTER(UART0_DR) = byte;
    }
    REGISTER(UART0_IMSC) = UART_RX | UART_RX_PAUSE | UART_TX;
}
