#include "core.h"

#include <string.h>

#define STATUS_TICKS 20u /* 50 Hz */
#define QUIET_STOP_US 200000 /* without a fresh set-point: slow down */
#define QUIET_PARK_US 5000000
#define QUIET_DETACH_US 30000000
#define GAP_TICKS 2u /* between two gaps told, while what was missing may be on its way */
#define STOP_LINE_TICKS 3u /* a contact bounces, and a motor's spark is shorter */
#define PULSE_PERIOD_MIN_US 3000u
#define PULSE_PERIOD_MAX_US 20000u

void core_init(core_t *core, uint32_t pins, uint8_t reset_cause)
{
    memset(core, 0, sizeof *core);
    core->state = STATE_IDLE;
    core->pins = pins;
    core->reset_cause = reset_cause;
    core->pulse_period_us = PULSE_PERIOD_MAX_US;
}

static bool is_in_motion(const core_t *core)
{
    return core->state == STATE_MOVING || core->state == STATE_STOPPING || core->state == STATE_PARKING;
}

/* Slows down from here; the knots ahead are forgotten at once. */
static void start_stopping(core_t *core)
{
    motion_let_go(&core->motion);
    core->state = STATE_STOPPING;
}

static void on_hello(core_t *core, const frame_t *frame)
{
    hello_t hello = read_hello(frame->body);
    if (hello.session == 0) {
        core->misread++;
        return;
    }
    core->is_welcome_due = true;
    core->welcome_session = hello.session;
    bool is_repetition = hello.session == core->session && hello.table_hash == TABLE_HASH;
    if (is_repetition) {
        return;
    }
    core->session = hello.table_hash == TABLE_HASH ? hello.session : 0;
    core->expected = (uint8_t)(frame->sequence + 1u);
    core->answered = 0;
    core->answer_due = 0;
    core->is_gap_due = false;
    core->gap_wait_ticks = 0;
    core->accepted = core->refused = core->underruns = core->misread = core->decoder.errors = 0;
    core->last_reason = REASON_NONE;
    if (core->state == STATE_MOVING || core->state == STATE_PARKING) {
        start_stopping(core); /* whoever gave those set-points is gone */
    }
}

static uint8_t on_limits(core_t *core, const limits_t *limits)
{
    if (is_in_motion(core) || core->state == STATE_STOPPED) {
        return REASON_STATE;
    }
    if (limits->pin >= 32 || !(core->pins & (1ul << limits->pin))) {
        return REASON_PIN;
    }
    return motion_set_limits(&core->motion, limits, core->is_attached);
}

static uint8_t on_enable(core_t *core, const enable_t *enable)
{
    const joint_t *joint = core->motion.joint;
    if (is_in_motion(core) || core->state == STATE_STOPPED) {
        return REASON_STATE;
    }
    if (enable->joint_count == 0 || enable->joint_count > MAX_JOINTS) {
        return REASON_JOINT;
    }
    if (enable->pulse_period_us < PULSE_PERIOD_MIN_US || enable->pulse_period_us > PULSE_PERIOD_MAX_US) {
        return REASON_LIMITS;
    }
    for (uint8_t j = 0; j < enable->joint_count; j++) {
        if (!joint[j].is_set) {
            return REASON_LIMITS;
        }
        for (uint8_t other = 0; other < j; other++) {
            if (joint[other].pin == joint[j].pin) {
                return REASON_PIN;
            }
        }
    }
    core->motion.joint_count = enable->joint_count;
    core->pulse_period_us = enable->pulse_period_us;
    motion_freeze(&core->motion);
    core->is_attached = true;
    core->intent_us = core->now_us;
    core->state = STATE_HOLDING;
    return REASON_NONE;
}

static uint8_t on_detach(core_t *core)
{
    if (is_in_motion(core) || core->state == STATE_STOPPED) {
        return REASON_STATE;
    }
    core->is_attached = false;
    core->state = STATE_DETACHED;
    return REASON_NONE;
}

static uint8_t on_release(core_t *core, uint32_t token)
{
    if (core->state != STATE_STOPPED) {
        return REASON_STATE;
    }
    if (token != core->stop_token) {
        return REASON_TOKEN;
    }
    if (core->stop_line_ticks > 0) {
        return REASON_STOP_LINE;
    }
    core->stop_token = 0;
    core->intent_us = core->now_us;
    core->state = core->is_attached ? STATE_HOLDING : STATE_IDLE;
    return REASON_NONE;
}

static void latch(core_t *core, uint32_t token)
{
    motion_freeze(&core->motion);
    core->state = STATE_STOPPED;
    core->stop_token = token;
}

static void on_stop(core_t *core, uint32_t token)
{
    if (token == 0) {
        core->misread++;
        return;
    }
    latch(core, token);
    core->stop_ack_token = token;
    core->is_stop_ack_due = true;
}

/* A line that opens is a stop of its own: whoever would release an earlier one has to learn of it first. */
static void watch_stop_line(core_t *core, bool is_open)
{
    if (!is_open) {
        core->stop_line_ticks = 0;
    } else if (core->stop_line_ticks < STOP_LINE_TICKS) {
        core->stop_line_ticks++;
        if (core->stop_line_ticks == STOP_LINE_TICKS) {
            uint32_t token = core->now_us ^ core->stop_token;
            latch(core, token == 0 ? 1 : token);
        }
    }
}

static uint8_t run_reliable(core_t *core, const frame_t *frame)
{
    switch (frame->type) {
    case TYPE_LIMITS: {
        limits_t limits = read_limits(frame->body);
        return on_limits(core, &limits);
    }
    case TYPE_ENABLE: {
        enable_t enable = read_enable(frame->body);
        return on_enable(core, &enable);
    }
    case TYPE_DETACH: return on_detach(core);
    default: return on_release(core, read_release(frame->body).token);
    }
}

/* Runs a reliable message once, in order; answers a repetition with the answer it had. */
static void on_reliable(core_t *core, const frame_t *frame)
{
    uint8_t place = frame->sequence % WINDOW;
    uint8_t ahead = (uint8_t)(frame->sequence - core->expected);
    uint8_t behind = (uint8_t)(core->expected - frame->sequence);
    if (core->session == 0) {
        return; /* without hello there is no order to keep; the host will time out and say hello again */
    }
    if (ahead == 0) {
        core->answer[place] = run_reliable(core, frame);
        core->answer_due |= (uint8_t)(1u << place);
        core->expected++;
        core->answered = core->answered < WINDOW ? (uint8_t)(core->answered + 1u) : (uint8_t)WINDOW;
        core->gap_wait_ticks = 0;
    } else if (behind <= core->answered) {
        core->answer_due |= (uint8_t)(1u << place);
    } else if (ahead < WINDOW && core->gap_wait_ticks == 0) {
        core->is_gap_due = true;
        core->gap_wait_ticks = GAP_TICKS;
    }
}

static knot_t knot_of(uint32_t time_us, const int32_t *position_urad, const int16_t *velocity_mrad_s)
{
    knot_t knot;
    knot.time_us = time_us;
    for (uint8_t j = 0; j < MAX_JOINTS; j++) {
        knot.position_urad[j] = position_urad[j];
        knot.velocity_mrad_s[j] = velocity_mrad_s[j];
    }
    return knot;
}

static uint8_t follow_set_point(core_t *core, const set_point_t *point, uint32_t now_us)
{
    if (core->session == 0) {
        return REASON_SESSION;
    }
    if (!core->is_attached || core->state == STATE_STOPPED) {
        return REASON_STATE;
    }
    knot_t knot = knot_of(point->time_us, point->position_urad, point->velocity_mrad_s);
    bool is_previous_missing = (int32_t)(point->previous_time_us - motion_tail_us(&core->motion)) > 0
        && (int32_t)(point->time_us - point->previous_time_us) > 0;
    if (is_previous_missing) {
        knot_t previous
            = knot_of(point->previous_time_us, point->previous_position_urad, point->previous_velocity_mrad_s);
        /* Refused, it is as if it had been lost too: the knot itself is then judged against what is there. */
        (void)motion_append(&core->motion, &previous, now_us);
    }
    uint8_t reason = motion_append(&core->motion, &knot, now_us);
    if (core->motion.count > 0) {
        core->state = STATE_MOVING;
    }
    return reason;
}

static void on_set_point(core_t *core, const frame_t *frame, uint32_t now_us)
{
    set_point_t point = read_set_point(frame->body);
    uint8_t reason = follow_set_point(core, &point, now_us);
    if (reason == REASON_NONE) {
        core->accepted++;
        core->intent_us = now_us;
    } else {
        core->refused++;
        core->last_reason = reason;
    }
}

static void on_frame(core_t *core, const frame_t *frame, uint32_t now_us)
{
    if (host_body_size(frame->type) != (int)frame->size) {
        core->misread++;
        return;
    }
    switch (frame->type) {
    case TYPE_HELLO: on_hello(core, frame); break;
    case TYPE_STOP: on_stop(core, read_stop(frame->body).token); break;
    case TYPE_SET_POINT: on_set_point(core, frame, now_us); break;
    case TYPE_PING:
        core->pong.number = read_ping(frame->body).number;
        core->pong.time_us = now_us;
        core->is_pong_due = true;
        break;
    default: on_reliable(core, frame); break;
    }
}

/* Apart from core_receive, so that room for a frame is not made for every byte. */
__attribute__((noinline)) static void end_frame(core_t *core, uint32_t now_us)
{
    frame_t frame;
    if (wire_decode(&core->decoder, 0, &frame)) {
        on_frame(core, &frame, now_us);
    }
}

void core_receive(core_t *core, uint8_t byte, uint32_t now_us)
{
    core->now_us = now_us;
    if (byte != 0) {
        wire_keep(&core->decoder, byte);
    } else {
        end_frame(core, now_us);
    }
}

static void move(core_t *core, uint32_t now_us)
{
    int32_t quiet_us = (int32_t)(now_us - core->intent_us);
    switch (core->state) {
    case STATE_MOVING: {
        motion_progress_t progress = motion_follow(&core->motion, now_us);
        if (progress == MOTION_STILL) {
            core->state = STATE_HOLDING;
        } else if (progress == MOTION_RAN_OUT) {
            core->underruns++;
            start_stopping(core);
        } else if (quiet_us >= QUIET_STOP_US) {
            start_stopping(core);
        }
        break;
    }
    case STATE_STOPPING:
        if (motion_brake(&core->motion)) {
            core->state = STATE_HOLDING;
        }
        break;
    case STATE_HOLDING:
        if (quiet_us >= QUIET_PARK_US) {
            core->state = STATE_PARKING;
        }
        break;
    case STATE_PARKING:
        if (motion_park(&core->motion)) {
            core->state = STATE_PARKED;
        }
        break;
    case STATE_PARKED:
        if (quiet_us >= QUIET_DETACH_US) {
            core->is_attached = false;
            core->state = STATE_DETACHED;
        }
        break;
    default: break; /* idle, detached and stopped stand */
    }
}

void core_tick(core_t *core, uint32_t now_us, bool is_stop_line_open)
{
    core->now_us = now_us;
    core->motion.at_us = now_us;
    watch_stop_line(core, is_stop_line_open);
    move(core, now_us);
    if (core->gap_wait_ticks > 0) {
        core->gap_wait_ticks--;
    }
    core->status_ticks++;
    if (core->status_ticks >= STATUS_TICKS) {
        core->status_ticks = 0;
        core->is_status_due = core->session != 0;
    }
}

static void write_state(const core_t *core, uint8_t *body)
{
    status_t status;
    status.time_us = core->now_us;
    status.session = core->session;
    status.state = core->state;
    status.last_reason = core->last_reason;
    for (uint8_t j = 0; j < MAX_JOINTS; j++) {
        status.position_urad[j] = core->motion.position_urad[j];
    }
    status.stop_token = core->stop_token;
    status.accepted = core->accepted;
    status.refused = core->refused;
    status.rx_errors = (uint16_t)(core->decoder.errors + core->misread);
    status.underruns = core->underruns;
    status.is_stop_line_open = core->stop_line_ticks == STOP_LINE_TICKS;
    status.reset_cause = core->reset_cause;
    write_status(body, &status);
}

/* Chooses what goes next, most urgent first; false when nothing waits. */
static bool next_frame(core_t *core, frame_t *frame)
{
    frame->sequence = 0;
    frame->ack = (uint8_t)(core->expected - 1u);
    if (core->is_stop_ack_due) {
        stop_ack_t ack = { .token = core->stop_ack_token };
        core->is_stop_ack_due = false;
        frame->type = TYPE_STOP_ACK;
        frame->size = STOP_ACK_BYTES;
        write_stop_ack(frame->body, &ack);
    } else if (core->is_welcome_due) {
        welcome_t welcome = { .table_hash = TABLE_HASH, .session = core->welcome_session };
        core->is_welcome_due = false;
        frame->type = TYPE_WELCOME;
        frame->size = WELCOME_BYTES;
        write_welcome(frame->body, &welcome);
    } else if (core->is_pong_due) {
        core->is_pong_due = false;
        frame->type = TYPE_PONG;
        frame->size = PONG_BYTES;
        write_pong(frame->body, &core->pong);
    } else if (core->answer_due != 0) {
        uint8_t number = (uint8_t)(core->expected - core->answered);
        while (!(core->answer_due & (1u << (number % WINDOW)))) {
            number++; /* ends: a due answer is one of those kept */
        }
        result_t result = { .number = number, .reason = core->answer[number % WINDOW] };
        core->answer_due &= (uint8_t)~(1u << (number % WINDOW));
        frame->type = TYPE_RESULT;
        frame->size = RESULT_BYTES;
        write_result(frame->body, &result);
    } else if (core->is_gap_due) {
        gap_t gap = { .expected = core->expected };
        core->is_gap_due = false;
        frame->type = TYPE_GAP;
        frame->size = GAP_BYTES;
        write_gap(frame->body, &gap);
    } else if (core->is_status_due) {
        core->is_status_due = false;
        frame->type = TYPE_STATUS;
        frame->size = STATUS_BYTES;
        write_state(core, frame->body);
    } else {
        return false;
    }
    return true;
}

size_t core_transmit(core_t *core, uint8_t *out, size_t room)
{
    size_t written = 0;
    while (written < room) {
        if (core->wire_sent == core->wire_size) {
            frame_t frame;
            if (!next_frame(core, &frame)) {
                break;
            }
            core->wire_size = wire_encode(&frame, core->wire);
            core->wire_sent = 0;
        }
        out[written++] = core->wire[core->wire_sent++];
    }
    return written;
}

uint16_t core_pulse_us8(const core_t *core, uint8_t channel)
{
    if (!core->is_attached || channel >= core->motion.joint_count) {
        return 0;
    }
    return motion_pulse_us8(&core->motion, channel);
}

uint16_t core_pulse_us(const core_t *core, uint8_t channel)
{
    return (uint16_t)((core_pulse_us8(core, channel) + 4u) >> 3);
}

uint16_t core_pulse_period_us(const core_t *core) { return core->pulse_period_us; }

uint8_t core_pin(const core_t *core, uint8_t channel) { return core->motion.joint[channel].pin; }
