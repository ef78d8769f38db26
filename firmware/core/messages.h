/* generated from firmware/messages.toml by firmware/generate.py, do not edit */
#ifndef NOD_MESSAGES_H
#define NOD_MESSAGES_H

#include "bytes.h"

#define TABLE_HASH 0x14BA8BB6u
#define MAX_BODY_BYTES 48u

/* What the board is doing. */
enum {
    STATE_IDLE = 0, /* no pulses; waits for handshake, limits and enable */
    STATE_HOLDING = 1, /* pulses keep the joints where they are */
    STATE_MOVING = 2, /* following set-points */
    STATE_STOPPING = 3, /* no fresh set-point: slowing down within the limits */
    STATE_PARKING = 4, /* nobody gave a set-point for long: moving slowly to rest */
    STATE_PARKED = 5, /* at rest, pulses on */
    STATE_DETACHED = 6, /* pulses off after a long silence or on request; enable starts again */
    STATE_STOPPED = 7, /* emergency stop: pulses frozen until the token of that stop comes back */
};

/* Why the board said no; `none` is yes. */
enum {
    REASON_NONE = 0, /* accepted */
    REASON_SESSION = 1, /* no handshake yet, or with another table */
    REASON_STATE = 2, /* not in this state */
    REASON_POSITION = 3, /* outside the position limits */
    REASON_VELOCITY = 4, /* faster than the velocity limit */
    REASON_ACCELERATION = 5, /* steeper than the acceleration limit */
    REASON_ROOM = 6, /* no room left to stop before the position limit */
    REASON_ORDER = 7, /* not after the knot before it */
    REASON_LATE = 8, /* the moment has passed */
    REASON_EARLY = 9, /* more than a second ahead */
    REASON_FULL = 10, /* more knots than the board can keep */
    REASON_LIMITS = 11, /* limits that make no sense, are missing, or exclude the present pose */
    REASON_TOKEN = 12, /* not the token of the present stop */
    REASON_JOINT = 13, /* no such joint */
    REASON_PIN = 14, /* no servo pin of this board, or another joint's */
    REASON_STOP_LINE = 15, /* the stop button is pressed, or its wire is cut */
};

/* Why the board last began anew. */
enum {
    RESET_CAUSE_POWER = 0, /* it was switched on */
    RESET_CAUSE_WATCHDOG = 1, /* the firmware hung, and the chip's watchdog noticed */
    RESET_CAUSE_OTHER = 2, /* the reset pin, a dip in the supply, or a debugger */
};

enum {
    TYPE_HELLO = 1,
    TYPE_LIMITS = 2,
    TYPE_ENABLE = 3,
    TYPE_DETACH = 4,
    TYPE_RELEASE = 5,
    TYPE_SET_POINT = 16,
    TYPE_PING = 17,
    TYPE_STOP = 32,
    TYPE_WELCOME = 65,
    TYPE_RESULT = 66,
    TYPE_GAP = 67,
    TYPE_STATUS = 80,
    TYPE_PONG = 81,
    TYPE_STOP_ACK = 96,
};

/* Opens a session; its sequence number is the one that the next reliable message follows. */
#define HELLO_BYTES 6u
typedef struct {
    uint32_t table_hash;
    uint16_t session;
} hello_t;
static inline hello_t read_hello(const uint8_t *body)
{
    hello_t message;
    message.table_hash = get_u32(body + 0);
    message.session = get_u16(body + 4);
    return message;
}

/* One joint's limits, rest, pulse and pin. */
#define LIMITS_BYTES 23u
typedef struct {
    uint8_t joint;
    uint8_t pin;
    int32_t min_urad;
    int32_t max_urad;
    int32_t rest_urad;
    uint16_t velocity_mrad_s;
    uint32_t acceleration_mrad_s2;
    uint16_t pulse_centre_us;
    int32_t pulse_per_rad_ns;
} limits_t;
static inline limits_t read_limits(const uint8_t *body)
{
    limits_t message;
    message.joint = get_u8(body + 0);
    message.pin = get_u8(body + 1);
    message.min_urad = get_i24(body + 2);
    message.max_urad = get_i24(body + 5);
    message.rest_urad = get_i24(body + 8);
    message.velocity_mrad_s = get_u16(body + 11);
    message.acceleration_mrad_s2 = get_u32(body + 13);
    message.pulse_centre_us = get_u16(body + 17);
    message.pulse_per_rad_ns = get_i32(body + 19);
    return message;
}

/* Pulses on, holding the present pose. */
#define ENABLE_BYTES 3u
typedef struct {
    uint8_t joint_count;
    uint16_t pulse_period_us;
} enable_t;
static inline enable_t read_enable(const uint8_t *body)
{
    enable_t message;
    message.joint_count = get_u8(body + 0);
    message.pulse_period_us = get_u16(body + 1);
    return message;
}

/* Pulses off; refused while moving. */
#define DETACH_BYTES 0u

/* Ends the emergency stop whose token it carries. */
#define RELEASE_BYTES 4u
typedef struct {
    uint32_t token;
} release_t;
static inline release_t read_release(const uint8_t *body)
{
    release_t message;
    message.token = get_u32(body + 0);
    return message;
}

/* The next knot, and the one before it in case its own frame was lost. */
#define SET_POINT_BYTES 48u
typedef struct {
    uint32_t time_us;
    int32_t position_urad[4];
    int16_t velocity_mrad_s[4];
    uint32_t previous_time_us;
    int32_t previous_position_urad[4];
    int16_t previous_velocity_mrad_s[4];
} set_point_t;
static inline set_point_t read_set_point(const uint8_t *body)
{
    set_point_t message;
    message.time_us = get_u32(body + 0);
    message.position_urad[0] = get_i24(body + 4);
    message.position_urad[1] = get_i24(body + 7);
    message.position_urad[2] = get_i24(body + 10);
    message.position_urad[3] = get_i24(body + 13);
    message.velocity_mrad_s[0] = get_i16(body + 16);
    message.velocity_mrad_s[1] = get_i16(body + 18);
    message.velocity_mrad_s[2] = get_i16(body + 20);
    message.velocity_mrad_s[3] = get_i16(body + 22);
    message.previous_time_us = get_u32(body + 24);
    message.previous_position_urad[0] = get_i24(body + 28);
    message.previous_position_urad[1] = get_i24(body + 31);
    message.previous_position_urad[2] = get_i24(body + 34);
    message.previous_position_urad[3] = get_i24(body + 37);
    message.previous_velocity_mrad_s[0] = get_i16(body + 40);
    message.previous_velocity_mrad_s[1] = get_i16(body + 42);
    message.previous_velocity_mrad_s[2] = get_i16(body + 44);
    message.previous_velocity_mrad_s[3] = get_i16(body + 46);
    return message;
}

/* Asks for the board's clock. No motion intent. */
#define PING_BYTES 2u
typedef struct {
    uint16_t number;
} ping_t;
static inline ping_t read_ping(const uint8_t *body)
{
    ping_t message;
    message.number = get_u16(body + 0);
    return message;
}

/* Emergency stop. Needs no session. */
#define STOP_BYTES 4u
typedef struct {
    uint32_t token;
} stop_t;
static inline stop_t read_stop(const uint8_t *body)
{
    stop_t message;
    message.token = get_u32(body + 0);
    return message;
}

/* Answers hello. With another table's hash the board stays closed. */
#define WELCOME_BYTES 6u
typedef struct {
    uint32_t table_hash;
    uint16_t session;
} welcome_t;
static inline void write_welcome(uint8_t *body, const welcome_t *message)
{
    put_u32(body + 0, message->table_hash);
    put_u16(body + 4, message->session);
}

/* Answers one reliable message; again for each repetition of it. */
#define RESULT_BYTES 2u
typedef struct {
    uint8_t number;
    uint8_t reason;
} result_t;
static inline void write_result(uint8_t *body, const result_t *message)
{
    put_u8(body + 0, message->number);
    put_u8(body + 1, message->reason);
}

/* A reliable message is missing: repeat from here. */
#define GAP_BYTES 1u
typedef struct {
    uint8_t expected;
} gap_t;
static inline void write_gap(uint8_t *body, const gap_t *message)
{
    put_u8(body + 0, message->expected);
}

/* Telemetry, 50 times a second. */
#define STATUS_BYTES 34u
typedef struct {
    uint32_t time_us;
    uint16_t session;
    uint8_t state;
    uint8_t last_reason;
    int32_t position_urad[4];
    uint32_t stop_token;
    uint16_t accepted;
    uint16_t refused;
    uint16_t rx_errors;
    uint16_t underruns;
    uint8_t is_stop_line_open;
    uint8_t reset_cause;
} status_t;
static inline void write_status(uint8_t *body, const status_t *message)
{
    put_u32(body + 0, message->time_us);
    put_u16(body + 4, message->session);
    put_u8(body + 6, message->state);
    put_u8(body + 7, message->last_reason);
    put_i24(body + 8, message->position_urad[0]);
    put_i24(body + 11, message->position_urad[1]);
    put_i24(body + 14, message->position_urad[2]);
    put_i24(body + 17, message->position_urad[3]);
    put_u32(body + 20, message->stop_token);
    put_u16(body + 24, message->accepted);
    put_u16(body + 26, message->refused);
    put_u16(body + 28, message->rx_errors);
    put_u16(body + 30, message->underruns);
    put_u8(body + 32, message->is_stop_line_open);
    put_u8(body + 33, message->reset_cause);
}

/* The board's clock when the ping came in. */
#define PONG_BYTES 6u
typedef struct {
    uint16_t number;
    uint32_t time_us;
} pong_t;
static inline void write_pong(uint8_t *body, const pong_t *message)
{
    put_u16(body + 0, message->number);
    put_u32(body + 2, message->time_us);
}

/* The stop with this token is latched. */
#define STOP_ACK_BYTES 4u
typedef struct {
    uint32_t token;
} stop_ack_t;
static inline void write_stop_ack(uint8_t *body, const stop_ack_t *message)
{
    put_u32(body + 0, message->token);
}

/* Length of a type's body, or -1 for a type that a host never sends. */
static inline int host_body_size(uint8_t type)
{
    switch (type) {
    case TYPE_HELLO: return 6;
    case TYPE_LIMITS: return 23;
    case TYPE_ENABLE: return 3;
    case TYPE_DETACH: return 0;
    case TYPE_RELEASE: return 4;
    case TYPE_SET_POINT: return 48;
    case TYPE_PING: return 2;
    case TYPE_STOP: return 4;
    default: return -1;
    }
}

static inline int is_reliable(uint8_t type)
{
    return type == TYPE_HELLO
        || type == TYPE_LIMITS
        || type == TYPE_ENABLE
        || type == TYPE_DETACH
        || type == TYPE_RELEASE;
}

#endif
