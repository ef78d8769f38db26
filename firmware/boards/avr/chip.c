#include "chip.h"

#include <stdio.h>
#include <string.h>

#include <simavr/avr_extint.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

#define BYTE_CYCLES 320u /* 10 bits at 500 kBd */
#define BUFFER_BYTES 2u /* and one more waits in the shift register */
#define UDR0 0xC6u /* data address, datasheet chapter 31 */
#define CYCLES_PER_US (CHIP_HZ / 1000000u)
#define SILENCE_US 25000u /* longer than any frame: there are no pulses */
#define FRAME_US 2900u /* shorter than any frame: a pulse so late begins another */
#define ROOM 4096u
#define PAINT 0xC5u
#define CIRCLE 0xCFFFu /* rjmp to itself */

typedef struct {
    const char *symbol;
    uint32_t entry;
    uint32_t back; /* where the call under way returns to; 0: none */
    uint16_t stack;
    avr_cycle_count_t began;
    uint32_t longest;
} stopwatch_t;

static avr_t *avr;
static avr_uart_t *uart;
static elf_firmware_t firmware;
static void (*reset_inner)(avr_t *);
static chip_figures_t figures;
static bool is_measuring;
static bool is_begun_anew;
static uint16_t painted_from;
static stopwatch_t watches[2] = { { .symbol = "core_tick" }, { .symbol = "core_receive" } };

/* the line to the chip */
static uint8_t queue[CHIP_QUEUE_BYTES];
static size_t queue_first, queue_used;
static avr_cycle_count_t byte_ends; /* of the byte on the line; 0: it is idle */
static struct {
    uint8_t byte;
    avr_cycle_count_t came;
} buffer[BUFFER_BYTES + 1];
static uint8_t buffered;

/* what comes out of it */
static uint8_t bytes[ROOM];
static pwm_record_t records[ROOM];
static chip_pulse_t pulses[ROOM];
static size_t byte_count, record_count, pulse_count;

static uint8_t channel_of[CHIP_PINS];
static bool is_high[CHIP_PINS];
static uint64_t rose_ns[CHIP_PINS];
static pwm_record_t frame;
static bool is_frame_open;

static uint64_t now_ns(void) { return avr->cycle * 1000u / CYCLES_PER_US; }

uint64_t chip_us(void) { return avr->cycle / CYCLES_PER_US; }

static void close_frame(void)
{
    if (is_frame_open && record_count < ROOM) {
        records[record_count++] = frame;
    }
    is_frame_open = false;
}

static void begin_frame(uint64_t time_us)
{
    close_frame();
    frame = (pwm_record_t) { .time_us = time_us };
    is_frame_open = true;
}

static void fall(uint8_t pin)
{
    uint64_t width_ns = now_ns() - rose_ns[pin];
    is_high[pin] = false;
    if (pulse_count < ROOM) {
        pulses[pulse_count++]
            = (chip_pulse_t) { .start_ns = rose_ns[pin], .width_ns = (uint32_t)width_ns, .pin = pin };
    }
    if (channel_of[pin] < CORE_CHANNELS) {
        frame.pulse_us[channel_of[pin]] = (uint16_t)((width_ns + 500u) / 1000u);
    }
    for (uint8_t other = 0; other < CHIP_PINS; other++) {
        if (is_high[other] && channel_of[other] < CORE_CHANNELS) { /* the light is no servo */
            return;
        }
    }
    close_frame();
}

static void on_pin(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    uint8_t pin = (uint8_t)(uintptr_t)param;
    bool is_up = (value & 1u) != 0;
    if (is_up == is_high[pin]) {
        return;
    }
    if (!is_up) {
        fall(pin);
        return;
    }
    is_high[pin] = true;
    rose_ns[pin] = now_ns();
    uint64_t time_us = rose_ns[pin] / 1000u;
    if (channel_of[pin] < CORE_CHANNELS && (!is_frame_open || time_us - frame.time_us > FRAME_US)) {
        begin_frame(time_us);
    }
}

static void on_output(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)param;
    uart->cycles_per_byte = BYTE_CYCLES; /* simavr counts a parity bit that is not there */
    if (byte_count < ROOM) {
        bytes[byte_count++] = (uint8_t)value;
    }
}

static void forget_interrupt(avr_int_vector_t *vector)
{
    avr_clear_interrupt_if(avr, vector, 0);
    avr_regbit_clear(avr, vector->raised);
}

/* The receiver of the data sheet, in the place of simavr's: two bytes in the buffer and one in the shift register,
 * and the next one is lost. */
static void byte_arrives(uint8_t byte)
{
    if (!avr_regbit_get(avr, uart->rxen)) {
        return;
    }
    if (buffered > BUFFER_BYTES) {
        figures.overruns++;
        return;
    }
    buffer[buffered].byte = byte;
    buffer[buffered].came = avr->cycle;
    buffered++;
    avr_raise_interrupt(avr, &uart->rxc);
}

static uint8_t read_byte(struct avr_t *chip, avr_io_addr_t address, void *param)
{
    (void)param;
    if (buffered == 0) {
        return chip->data[address];
    }
    uint8_t byte = buffer[0].byte;
    uint32_t waited = (uint32_t)(chip->cycle - buffer[0].came);
    figures.late_cycles = waited > figures.late_cycles ? waited : figures.late_cycles;
    buffered--;
    memmove(buffer, buffer + 1, buffered * sizeof buffer[0]);
    chip->data[address] = byte;
    forget_interrupt(&uart->rxc);
    if (buffered > 0) {
        avr_raise_interrupt(chip, &uart->rxc);
    }
    return byte;
}

static avr_cycle_count_t on_byte_end(struct avr_t *chip, avr_cycle_count_t when, void *param)
{
    (void)chip;
    (void)param;
    byte_arrives(queue[queue_first]);
    queue_first = (queue_first + 1u) % sizeof queue;
    queue_used--;
    byte_ends = queue_used > 0 ? when + BYTE_CYCLES : 0;
    return byte_ends;
}

static void start_line(void)
{
    if (queue_used > 0 && byte_ends == 0) {
        byte_ends = avr->cycle + BYTE_CYCLES;
        avr_cycle_timer_register(avr, BYTE_CYCLES, on_byte_end, NULL);
    }
}

void chip_send(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && queue_used < sizeof queue; i++) {
        queue[(queue_first + queue_used) % sizeof queue] = data[i];
        queue_used++;
    }
    start_line();
}

size_t chip_queued(void) { return queue_used; }

/* Every reset ends here, whoever asked for it. simavr has forgotten all timers. */
static void on_reset(avr_t *chip)
{
    if (reset_inner != NULL) {
        reset_inner(chip);
    }
    for (uint8_t pin = 0; pin < CHIP_PINS; pin++) {
        if (is_high[pin]) {
            fall(pin);
        }
    }
    buffered = 0;
    byte_ends = 0;
    is_begun_anew = true;
    for (size_t i = 0; i < 2; i++) {
        watches[i].back = 0;
    }
}

void chip_reset(void)
{
    avr_reset(avr);
    avr_regbit_clear(avr, avr->reset_flags.porf);
    avr_regbit_set(avr, avr->reset_flags.extrf);
}

void chip_open_stop_line(bool is_open)
{
    avr_ioport_external_t outside = { .name = 'D', .mask = 1 << 2, .value = is_open ? 1 << 2 : 0 };
    avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL('D'), &outside); /* stronger than the pull-up, from now on */
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 2), is_open ? 1 : 0);
}

void chip_hang(void)
{
    avr->pc = avr->flashend - 1u; /* the last word: see chip_start */
    for (size_t i = 0; i < 2; i++) {
        watches[i].back = 0;
    }
}

static void look_at_watches(void)
{
    uint16_t stack = (uint16_t)(avr->data[R_SPL] | avr->data[R_SPH] << 8);
    for (size_t i = 0; i < 2; i++) {
        stopwatch_t *watch = &watches[i];
        if (watch->back == 0 && avr->pc == watch->entry) {
            watch->back = (uint32_t)(avr->data[stack + 1] << 8 | avr->data[stack + 2]) * 2u;
            watch->stack = (uint16_t)(stack + 2u);
            watch->began = avr->cycle;
        } else if (watch->back != 0 && avr->pc == watch->back && stack == watch->stack) {
            uint32_t took = (uint32_t)(avr->cycle - watch->began);
            watch->longest = took > watch->longest ? took : watch->longest;
            watch->back = 0;
        }
    }
}

static avr_cycle_count_t on_alarm(struct avr_t *chip, avr_cycle_count_t when, void *param)
{
    (void)chip;
    (void)when;
    (void)param;
    return 0; /* it only ends avr_run in time */
}

void chip_run(uint64_t until_us)
{
    avr_cycle_count_t until = until_us * CYCLES_PER_US;
    while (avr->cycle < until) {
        if (avr_cycle_timer_status(avr, on_alarm, NULL) == 0) {
            avr_cycle_timer_register(avr, until - avr->cycle, on_alarm, NULL);
        }
        start_line();
        avr_run(avr);
        if (is_begun_anew) { /* its cause is known only now */
            is_begun_anew = false;
            figures.resets += avr_regbit_get(avr, avr->reset_flags.wdrf) ? 1u : 0u;
        }
        if (is_measuring) {
            look_at_watches();
        }
    }
    avr_cycle_timer_cancel(avr, on_alarm, NULL);
    uint64_t silent_us = chip_us() - frame.time_us;
    while (!is_frame_open && silent_us > SILENCE_US && record_count < ROOM) {
        begin_frame(frame.time_us + 20000u); /* no pulses, told at the pace of pulses */
        close_frame();
        silent_us -= 20000u;
    }
}

static size_t hand_out(void *out, const void *from, size_t *count, size_t size, size_t room)
{
    size_t given = *count < room ? *count : room;
    memcpy(out, from, given * size);
    memmove((char *)(uintptr_t)from, (const char *)from + given * size, (*count - given) * size);
    *count -= given;
    return given;
}

size_t chip_bytes(uint8_t *out, size_t room) { return hand_out(out, bytes, &byte_count, 1, room); }

size_t chip_records(pwm_record_t *out, size_t room)
{
    return hand_out(out, records, &record_count, sizeof records[0], room);
}

size_t chip_pulses(chip_pulse_t *out, size_t room)
{
    return hand_out(out, pulses, &pulse_count, sizeof pulses[0], room);
}

chip_figures_t chip_figures(void)
{
    figures.free_stack_bytes = 0;
    while (avr->data[painted_from + figures.free_stack_bytes] == PAINT) {
        figures.free_stack_bytes++;
    }
    figures.tick_cycles = watches[0].longest;
    figures.frame_cycles = watches[1].longest;
    return figures;
}

static uint32_t address_of(const char *name)
{
    for (uint32_t i = 0; i < firmware.symbolcount; i++) {
        if (strcmp(firmware.symbol[i]->symbol, name) == 0) {
            return firmware.symbol[i]->addr;
        }
    }
    return 0;
}

static void watch_pins(const uint8_t pins[CORE_CHANNELS])
{
    memset(channel_of, 0xFF, sizeof channel_of);
    for (uint8_t channel = 0; channel < CORE_CHANNELS; channel++) {
        channel_of[pins[channel] % CHIP_PINS] = channel;
    }
    for (uint8_t pin = 3; pin < CHIP_PINS; pin++) {
        char port = pin < 8 ? 'D' : pin < 14 ? 'B' : 'C';
        int bit = pin < 8 ? pin : pin < 14 ? pin - 8 : pin - 14;
        avr_irq_register_notify(
            avr_io_getirq(avr, (uint32_t)AVR_IOCTL_IOPORT_GETIRQ(port), bit), on_pin, (void *)(uintptr_t)pin);
    }
}

/* Takes the place of simavr's receiver; its transmitter stays. */
static bool connect_line(void)
{
    avr_io_t *part = avr->io_port;
    while (part != NULL && strcmp(part->kind, "uart") != 0) {
        part = part->next;
    }
    if (part == NULL) {
        return false;
    }
    uart = (avr_uart_t *)part;
    uart->flags = 0; /* no sleep when it is polled, no echo */
    avr->io[UDR0 - 32].r.c = read_byte;
    avr_irq_register_notify(
        avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_output, NULL);
    return true;
}

/* The chip jumps over what it sleeps; time is the caller's. */
static void sleep_no_time(avr_t *chip, avr_cycle_count_t cycles)
{
    (void)chip;
    (void)cycles;
}

static void say_nothing(avr_t *chip, const int level, const char *format, va_list words)
{
    (void)chip;
    (void)level;
    (void)format;
    (void)words;
}

/* A clock that has run for long already: its variable is set when the program proper begins. */
static bool set_clock(uint32_t first_us)
{
    uint32_t entry = address_of("main");
    uint32_t variable = address_of("now_us") & 0xFFFFu;
    if (entry == 0 || variable == 0) {
        return false;
    }
    avr->run_cycle_limit = 1;
    while (avr->pc != entry && avr->cycle < CHIP_HZ) {
        avr_run(avr);
    }
    for (unsigned i = 0; i < 4; i++) {
        avr->data[variable + i] = (uint8_t)(first_us >> 8 * i);
    }
    return avr->pc == entry;
}

bool chip_start(const char *image, const uint8_t pins[CORE_CHANNELS], uint32_t first_us, bool is_measured)
{
    avr_global_logger_set(say_nothing);
    if (elf_read_firmware(image, &firmware) != 0) {
        return false;
    }
    firmware.frequency = CHIP_HZ;
    avr = avr_make_mcu_by_name("atmega328p");
    if (avr == NULL) {
        return false;
    }
    avr_init(avr);
    avr_load_firmware(avr, &firmware);
    avr->sleep = sleep_no_time;
    avr->log = LOG_NONE;
    avr->flash[avr->flashend - 1u] = CIRCLE & 0xFFu;
    avr->flash[avr->flashend] = CIRCLE >> 8;
    reset_inner = avr->reset;
    avr->reset = on_reset;
    if (!connect_line()) {
        return false;
    }
    avr_extint_set_strict_lvl_trig(avr, 0, 0); /* else it looks at a low D2 in every cycle */
    watch_pins(pins);
    avr_regbit_set(avr, avr->reset_flags.porf);
    chip_open_stop_line(false);
    painted_from = (uint16_t)(address_of("_end") & 0xFFFFu);
    memset(avr->data + painted_from, PAINT, (size_t)avr->ramend + 1u - painted_from);
    is_measuring = is_measured;
    watches[0].entry = address_of(watches[0].symbol);
    watches[1].entry = address_of(watches[1].symbol);
    avr_cycle_count_t limit = avr->run_cycle_limit;
    if (!set_clock(first_us) || painted_from == 0) {
        return false;
    }
    avr->run_cycle_limit = is_measured ? 1 : limit;
    return true;
}
