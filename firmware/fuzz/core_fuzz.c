/* The core under libFuzzer: bytes become what a line, a clock and a button can do to it, in any order, and after
 * every tick what must always hold is checked.
 *
 * Each step is one byte for what happens and some for the details, so that the fuzzer meets whole frames, true
 * checksums and plausible set-points often, and not only by luck. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/core.h"

#define MAX_TICKS 1500u /* a run: longer ones find nothing that shorter ones don't */
#define JOINTS 4u

typedef struct {
    const uint8_t *data;
    size_t left;
} input_t;

typedef struct {
    core_t core;
    decoder_t host; /* what the far side makes of the core's bytes */
    uint32_t now_us; /* of the last tick */
    uint32_t offset_us; /* how long after it the bytes of this step arrive */
    uint32_t ticks;
    uint8_t sequence;
    bool is_pressed;
    bool was_frozen; /* since the last tick, if only for a moment */
    int32_t position_urad[JOINTS];
    int32_t speed_urad_s[JOINTS];
    int32_t acceleration_mrad_s2[JOINTS]; /* the limit in the tick before */
} run_t;

static uint8_t take(input_t *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->data++;
}

static int16_t take_i16(input_t *input) { return (int16_t)(take(input) | (uint16_t)take(input) << 8); }

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static int32_t magnitude(int32_t value) { return value < 0 ? -value : value; }

/* What a joint did in this tick lies within its limits, but for the roundings that docs/protocol.md names. */
static void check_joint(run_t *run, uint8_t j, bool is_frozen)
{
    const motion_t *motion = &run->core.motion;
    const joint_t *joint = &motion->joint[j];
    int32_t position = motion->position_urad[j];
    int32_t speed = (position - run->position_urad[j]) * 1000;
    must(position >= joint->min_urad && position <= joint->max_urad, "a joint left its position limits");
    must(magnitude(speed) <= joint->velocity_mrad_s * 1000 + 8000, "a joint left its velocity limit");
    bool is_at_edge = position == joint->min_urad || position == joint->max_urad;
    bool is_same_limit = joint->acceleration_mrad_s2 == run->acceleration_mrad_s2[j];
    run->acceleration_mrad_s2[j] = joint->acceleration_mrad_s2;
    if (!is_frozen && !is_at_edge && is_same_limit) {
        /* a tick's positions are rounded to 1 urad, and so is each part of a curve; a knot's speed to 1 mrad/s */
        int32_t most = joint->acceleration_mrad_s2 + joint->acceleration_mrad_s2 / 2 + 9000;
        must(magnitude(speed - run->speed_urad_s[j]) <= most, "a joint left its acceleration limit");
    }
    run->speed_urad_s[j] = is_frozen ? 0 : speed;
    uint16_t pulse = core_pulse_us(&run->core, j);
    must(pulse >= 400 && pulse <= 2600, "a pulse that no servo should see");
}

static void tick(run_t *run)
{
    core_t *core = &run->core;
    bool was_stopped = core->state == STATE_STOPPED;
    for (uint8_t j = 0; j < JOINTS; j++) {
        run->position_urad[j] = core->motion.position_urad[j];
    }
    run->now_us += CORE_TICK_US;
    run->ticks++;
    core_tick(core, run->now_us, run->is_pressed);
    bool is_frozen = core->state == STATE_STOPPED || run->was_frozen;
    run->was_frozen = core->state == STATE_STOPPED;
    for (uint8_t j = 0; j < JOINTS; j++) {
        if (core->is_attached && j < core->motion.joint_count) {
            check_joint(run, j, is_frozen);
        } else {
            must(core_pulse_us(core, j) == 0, "a pulse without a servo");
            run->speed_urad_s[j] = 0;
        }
        must(!was_stopped || core->motion.position_urad[j] == run->position_urad[j], "it moved while stopped");
    }
}

static void receive(run_t *run, uint8_t byte)
{
    core_receive(&run->core, byte, run->now_us + run->offset_us);
    run->was_frozen |= run->core.state == STATE_STOPPED;
}

static void send(run_t *run, const frame_t *frame)
{
    uint8_t bytes[MAX_WIRE_BYTES];
    uint8_t size = wire_encode(frame, bytes);
    for (uint8_t i = 0; i < size; i++) {
        receive(run, bytes[i]);
    }
}

static void send_reliable(run_t *run, uint8_t type, const uint8_t *body, uint8_t size)
{
    frame_t frame = { .type = type, .sequence = run->sequence++, .size = size };
    memcpy(frame.body, body, size);
    send(run, &frame);
}

/* Handshake, limits and enable, as a host would; how fast the joints may be comes from the input. */
static void open_session(run_t *run, input_t *input)
{
    uint8_t body[MAX_BODY_BYTES] = { 0 };
    put_u32(body, TABLE_HASH);
    put_u16(body + 4, (uint16_t)(1u + take(input)));
    send_reliable(run, TYPE_HELLO, body, HELLO_BYTES);
    uint16_t velocity = (uint16_t)(500u + 100u * take(input));
    uint32_t acceleration = 1000u + 500u * take(input);
    for (uint8_t j = 0; j < JOINTS; j++) {
        memset(body, 0, sizeof body);
        body[0] = j;
        body[1] = (uint8_t)(3u + j);
        put_i24(body + 2, -500000 - 100000 * j);
        put_i24(body + 5, 700000);
        put_i24(body + 8, 10000 * j);
        put_u16(body + 11, velocity);
        put_u32(body + 13, acceleration);
        put_u16(body + 17, 1500);
        put_u32(body + 19, 637000);
        send_reliable(run, TYPE_LIMITS, body, LIMITS_BYTES);
    }
    body[0] = JOINTS;
    put_u16(body + 1, 20000);
    send_reliable(run, TYPE_ENABLE, body, ENABLE_BYTES);
}

/* A knot near the last one, which is often accepted. */
static void send_knot(run_t *run, input_t *input)
{
    const motion_t *motion = &run->core.motion;
    const knot_t *last = motion->count == 0
        ? NULL
        : &motion->ahead[(motion->first + motion->count - 1u) % MAX_KNOTS];
    frame_t frame = { .type = TYPE_SET_POINT, .size = SET_POINT_BYTES };
    uint32_t time_us = (last ? last->time_us : run->now_us) + 2000u + 250u * take(input);
    put_u32(frame.body, time_us);
    for (uint8_t j = 0; j < MAX_JOINTS; j++) {
        int32_t from = last ? last->position_urad[j] : motion->position_urad[j];
        put_i24(frame.body + 4 + 3 * j, from + 8 * take_i16(input));
        put_u16(frame.body + 16 + 2 * j, (uint16_t)(take_i16(input) / 16));
    }
    put_u32(frame.body + 24, time_us); /* not before the knot itself: there is no knot before it */
    send(run, &frame);
}

static void listen(run_t *run)
{
    uint8_t bytes[64];
    size_t size = core_transmit(&run->core, bytes, sizeof bytes);
    frame_t frame;
    for (size_t i = 0; i < size; i++) {
        (void)wire_decode(&run->host, bytes[i], &frame);
    }
    must(run->host.errors == 0, "the core sent a frame that does not add up");
}

static void step(run_t *run, input_t *input)
{
    frame_t frame = { 0 };
    uint8_t what = take(input);
    run->offset_us = what / 10u * 38u;
    switch (what % 10) {
    case 0: /* bytes as they come */
        for (uint8_t left = take(input); left > 0 && input->left > 0; left--) {
            receive(run, take(input));
        }
        break;
    case 1: /* a whole frame of anything */
        frame.type = take(input);
        frame.sequence = take(input);
        frame.size = take(input) % (MAX_BODY_BYTES + 1u);
        for (uint8_t i = 0; i < frame.size; i++) {
            frame.body[i] = take(input);
        }
        send(run, &frame);
        break;
    case 2: /* a frame of the right length, next in order or almost */
        frame.type = take(input) % 34u;
        frame.sequence = (uint8_t)(run->core.expected + (int8_t)take(input) / 8);
        frame.size = host_body_size(frame.type) < 0 ? 0 : (uint8_t)host_body_size(frame.type);
        for (uint8_t i = 0; i < frame.size; i++) {
            frame.body[i] = take(input);
        }
        send(run, &frame);
        break;
    case 3: open_session(run, input); break;
    case 4:
    case 5: send_knot(run, input); break;
    case 6: /* some milliseconds, or a long silence in which only the thresholds matter */
        for (uint8_t left = take(input); left > 0 && run->ticks < MAX_TICKS; left--) {
            tick(run);
        }
        break;
    case 7: run->is_pressed = (take(input) & 1) != 0; break;
    case 8: /* nobody speaks for long: the core's sense of it moves, joints stand */
        if (run->core.state != STATE_MOVING) {
            run->core.intent_us -= 250000u * take(input);
        }
        break;
    default: listen(run); break;
    }
    tick(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t input = { data, size };
    run_t run = { 0 };
    run.now_us = (uint32_t)take(&input) << 24 | (uint32_t)take(&input) << 16; /* often near the wrap */
    core_init(&run.core, 0x3FF8u, RESET_CAUSE_POWER);
    core_tick(&run.core, run.now_us, false);
    while (input.left > 0 && run.ticks < MAX_TICKS) {
        step(&run, &input);
    }
    return 0;
}
