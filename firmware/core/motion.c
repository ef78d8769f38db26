#include "motion.h"

#define ANGLE_LIMIT_URAD 3200000 /* a little over pi */
#define VELOCITY_LIMIT_MRAD_S 32767 /* what a set-point can say */
#define ACCELERATION_LIMIT_MRAD_S2 1000000u /* keeps the products below in 64 bits */
#define PULSE_MIN_US 400 /* below and above, servos run into their own stops */
#define PULSE_MAX_US 2600
#define PULSE_PER_RAD_LIMIT_NS 2000000
#define AHEAD_LIMIT_US 1000000
#define SEGMENT_MIN_US 2000 /* shorter, and rounding swamps the acceleration check */
#define PARK_VELOCITY_URAD_S 300000 /* 0.3 rad/s: slow enough to step back from */
#define PARK_ACCELERATION_MRAD_S2 1000
#define TICK_US 1000
#define HULL_MARGIN_NRAD 100000 /* 0.1 mrad; at 1000 rad/s3 and 10 ms, 0.025 are needed */

static int64_t magnitude(int64_t value) { return value < 0 ? -value : value; }

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* What the checks of one joint's segment share, in nrad: a velocity in mrad/s times a time in us is one. */
typedef struct {
    int64_t way_three; /* three times the way, to spare a division */
    int64_t start_length; /* how far it would get at the velocity of its start */
    int64_t end_length; /* and at that of its end */
    int32_t length_us;
} segment_t;

static bool is_position_kept(const segment_t *segment, const joint_t *joint, int32_t start_urad)
{
    /* The curve lies within the hull of its Bezier points; all is three times as large. The margin is for plans
     * that come to rest at a limit within a segment, and for rounding to 1 mrad/s; the tick never leaves the limits
     * themselves. */
    int64_t margin = 3 * HULL_MARGIN_NRAD + segment->length_us / 2;
    int64_t low = (int64_t)(joint->min_urad - start_urad) * 3000 - margin;
    int64_t high = (int64_t)(joint->max_urad - start_urad) * 3000 + margin;
    int64_t near_start = segment->start_length;
    int64_t near_end = segment->way_three - segment->end_length;
    return near_start >= low && near_start <= high && near_end >= low && near_end <= high;
}

static bool is_velocity_kept(const segment_t *segment, const joint_t *joint)
{
    /* The velocity is a quadratic curve; cut in the middle, it lies within the hull of its control points, of
     * which these two are not at an end. */
    int64_t most = 2 * ((int64_t)joint->velocity_mrad_s * segment->length_us + segment->length_us
                        + 8000); /* for rounding to 1 urad and 1 mrad/s */
    return magnitude(segment->way_three - segment->start_length) <= most
        && magnitude(segment->way_three - segment->end_length) <= most;
}

static bool is_acceleration_kept(const segment_t *segment, const joint_t *joint)
{
    /* Acceleration is a straight line, steepest at an end: (6 d - (4 v0 + 2 v1) T) / T^2 at the start, and the
     * same mirrored at the end; d is the way, T the length. */
    int64_t without = segment->way_three - segment->start_length - segment->end_length;
    int64_t at_start = magnitude(without - segment->start_length);
    int64_t at_end = magnitude(without - segment->end_length);
    int64_t margin = 6000 + 3 * (int64_t)segment->length_us; /* rounding to 1 urad and 1 mrad/s */
    int64_t steepest = 2 * (at_start > at_end ? at_start : at_end) - margin;
    return steepest <= 0
        || steepest * 1000000
        <= (int64_t)joint->acceleration_mrad_s2 * segment->length_us * segment->length_us;
}

static bool has_room_to_stop(int32_t end_urad, int32_t velocity_mrad_s, const joint_t *joint)
{
    int32_t room_urad = velocity_mrad_s < 0 ? end_urad - joint->min_urad : joint->max_urad - end_urad;
    int32_t square = velocity_mrad_s * velocity_mrad_s; /* 16 bits each */
    return (int64_t)square * 500 < (int64_t)joint->acceleration_mrad_s2 * (room_urad + 1);
}

uint8_t motion_set_limits(motion_t *motion, const limits_t *limits, bool attached)
{
    if (limits->joint >= MAX_JOINTS) {
        return REASON_JOINT;
    }
    int32_t scale = limits->pulse_per_rad_ns;
    if (limits->min_urad < -ANGLE_LIMIT_URAD || limits->max_urad > ANGLE_LIMIT_URAD
        || limits->min_urad >= limits->max_urad || limits->rest_urad < limits->min_urad
        || limits->rest_urad > limits->max_urad || limits->velocity_mrad_s == 0
        || limits->velocity_mrad_s > VELOCITY_LIMIT_MRAD_S || limits->acceleration_mrad_s2 == 0
        || limits->acceleration_mrad_s2 > ACCELERATION_LIMIT_MRAD_S2 || scale == 0
        || scale < -PULSE_PER_RAD_LIMIT_NS || scale > PULSE_PER_RAD_LIMIT_NS) {
        return REASON_LIMITS;
    }
    joint_t joint = {
        .is_set = true,
        .pin = limits->pin,
        .pulse_centre_us = limits->pulse_centre_us,
        .velocity_mrad_s = limits->velocity_mrad_s,
        .min_urad = limits->min_urad,
        .max_urad = limits->max_urad,
        .rest_urad = limits->rest_urad,
        .acceleration_mrad_s2 = (int32_t)limits->acceleration_mrad_s2,
        .pulse_per_rad_ns = scale,
        .pulse_scale = (int32_t)((int64_t)scale * 4294967296 / 1000000000),
    };
    int64_t at_min = (int64_t)joint.min_urad * scale / 1000000000 + joint.pulse_centre_us;
    int64_t at_max = (int64_t)joint.max_urad * scale / 1000000000 + joint.pulse_centre_us;
    if (at_min < PULSE_MIN_US || at_min > PULSE_MAX_US || at_max < PULSE_MIN_US || at_max > PULSE_MAX_US) {
        return REASON_LIMITS;
    }
    joint_t *old = &motion->joint[limits->joint];
    int32_t position = motion->position_urad[limits->joint];
    bool is_inside = position >= joint.min_urad && position <= joint.max_urad;
    if (attached && limits->joint < motion->joint_count) {
        bool is_same_pulse = old->pulse_per_rad_ns == joint.pulse_per_rad_ns
            && old->pulse_centre_us == joint.pulse_centre_us && old->pin == joint.pin;
        if (!is_inside || !is_same_pulse) {
            return REASON_LIMITS;
        }
    } else if (!old->is_set || !is_inside) {
        motion->position_urad[limits->joint] = joint.rest_urad;
    }
    *old = joint;
    return REASON_NONE;
}

uint32_t motion_tail_us(const motion_t *motion)
{
    return motion->count == 0 ? motion->at_us
                              : motion->ahead[(motion->first + motion->count - 1u) % MAX_KNOTS].time_us;
}

/* Lays the curves of the segment that begins at `from`. */
static void begin_segment(motion_t *motion)
{
    const knot_t *from = &motion->from;
    const knot_t *to = &motion->ahead[motion->first];
    uint32_t length_us = to->time_us - from->time_us;
    int32_t length_ms = (int32_t)(length_us / 1000u);
    int32_t rest_us = (int32_t)(length_us % 1000u);
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        cubic_t *curve = &motion->curve[j];
        int32_t distance = to->position_urad[j] - from->position_urad[j];
        int32_t b = to->velocity_mrad_s[j] * length_ms + to->velocity_mrad_s[j] * rest_us / 1000;
        curve->a = from->velocity_mrad_s[j] * length_ms + from->velocity_mrad_s[j] * rest_us / 1000;
        curve->c2 = 3 * distance - 2 * curve->a - b;
        curve->c3 = curve->a + b - 2 * distance;
    }
    motion->way = 0;
}

/* The pose of the last tick, as a knot. */
static knot_t knot_here(const motion_t *motion)
{
    knot_t here = { .time_us = motion->at_us };
    for (uint8_t j = 0; j < MAX_JOINTS; j++) {
        here.position_urad[j] = motion->position_urad[j];
        here.velocity_mrad_s[j] = (int16_t)(motion->velocity_urad_s[j] / 1000);
    }
    return here;
}

/* Why a joint cannot go from one knot to the other, or REASON_NONE. */
static uint8_t judge(const knot_t *from, const knot_t *to, const joint_t *joint, uint8_t j)
{
    int32_t start_urad = from->position_urad[j];
    int32_t end_urad = to->position_urad[j];
    int32_t end_mrad_s = to->velocity_mrad_s[j];
    if (end_urad < joint->min_urad || end_urad > joint->max_urad) {
        return REASON_POSITION;
    }
    if (magnitude(end_mrad_s) > joint->velocity_mrad_s) {
        return REASON_VELOCITY;
    }
    if (!has_room_to_stop(end_urad, end_mrad_s, joint)) {
        return REASON_ROOM;
    }
    int32_t length_us = (int32_t)(to->time_us - from->time_us);
    segment_t segment = {
        .way_three = (int64_t)(end_urad - start_urad) * 3000,
        .start_length = (int64_t)from->velocity_mrad_s[j] * length_us,
        .end_length = (int64_t)end_mrad_s * length_us,
        .length_us = length_us,
    };
    if (!is_velocity_kept(&segment, joint)) {
        return REASON_VELOCITY;
    }
    if (!is_acceleration_kept(&segment, joint)) {
        return REASON_ACCELERATION;
    }
    return is_position_kept(&segment, joint, start_urad) ? REASON_NONE : REASON_POSITION;
}

uint8_t motion_append(motion_t *motion, const knot_t *knot, uint32_t now_us)
{
    bool is_first = motion->count == 0;
    knot_t from = is_first ? knot_here(motion)
                           : motion->ahead[(motion->first + motion->count - 1u) % MAX_KNOTS];
    if ((int32_t)(knot->time_us - now_us) < SEGMENT_MIN_US) {
        return REASON_LATE;
    }
    if ((int32_t)(knot->time_us - now_us) > AHEAD_LIMIT_US) {
        return REASON_EARLY;
    }
    if ((int32_t)(knot->time_us - from.time_us) < SEGMENT_MIN_US) {
        return REASON_ORDER;
    }
    if (motion->count == MAX_KNOTS) {
        return REASON_FULL;
    }
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        uint8_t reason = judge(&from, knot, &motion->joint[j], j);
        if (reason != REASON_NONE) {
            return reason;
        }
    }
    if (is_first) {
        motion->from = from;
        motion->first = 0;
    }
    motion->ahead[(motion->first + motion->count) % MAX_KNOTS] = *knot;
    motion->count++;
    if (is_first) {
        begin_segment(motion);
    }
    return REASON_NONE;
}

/* value * share / 65536, rounded down, without 64 bits */
static int32_t part(int32_t value, uint16_t share)
{
    return (value >> 16) * (int32_t)share + (int32_t)(((uint32_t)value & 0xFFFFu) * share >> 16);
}

/* How far along a segment a moment is; beyond 65 ms, counted in steps of 16 us. */
static uint16_t way_along(uint32_t since_us, uint32_t length_us)
{
    if (length_us > 0xFFFFu) {
        since_us >>= 4;
        length_us >>= 4;
    }
    return (uint16_t)((since_us << 16) / length_us); /* less than one, for `since` is less than the length */
}

/* Puts all joints where the segment has them at `now_us`, which lies before its end. */
static void place(motion_t *motion, uint32_t now_us)
{
    const knot_t *from = &motion->from;
    int32_t since_us = (int32_t)(now_us - from->time_us);
    uint32_t length_us = motion->ahead[motion->first].time_us - from->time_us;
    uint16_t s = since_us <= 0 ? 0 : way_along((uint32_t)since_us, length_us);
    motion->way = s;
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const joint_t *joint = &motion->joint[j];
        const cubic_t *curve = &motion->curve[j];
        int32_t moved = part(curve->a + part(curve->c2 + part(curve->c3, s), s), s);
        motion->position_urad[j] = clamp(from->position_urad[j] + moved, joint->min_urad, joint->max_urad);
    }
}

static bool is_still(const motion_t *motion)
{
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        if (motion->velocity_urad_s[j] != 0) {
            return false;
        }
    }
    return true;
}

/* Slows down for up to a millisecond. */
static void brake_for(motion_t *motion, int32_t length_us)
{
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const joint_t *joint = &motion->joint[j];
        int32_t velocity = motion->velocity_urad_s[j];
        int32_t less = joint->acceleration_mrad_s2 * length_us / 1000; /* mrad/s2 for 1 ms is urad/s */
        int32_t slower = magnitude(velocity) <= less ? 0 : velocity < 0 ? velocity + less : velocity - less;
        int32_t position = motion->position_urad[j] + (velocity + slower) / 2000 * length_us / 1000;
        motion->position_urad[j] = clamp(position, joint->min_urad, joint->max_urad);
        motion->velocity_urad_s[j] = position < joint->min_urad || position > joint->max_urad ? 0 : slower;
    }
}

motion_progress_t motion_follow(motion_t *motion, uint32_t now_us)
{
    while (motion->count > 0) {
        const knot_t *to = &motion->ahead[motion->first];
        if ((int32_t)(now_us - to->time_us) < 0) {
            place(motion, now_us);
            return MOTION_GOING;
        }
        for (uint8_t j = 0; j < motion->joint_count; j++) {
            motion->position_urad[j] = to->position_urad[j];
            motion->velocity_urad_s[j] = (int32_t)to->velocity_mrad_s[j] * 1000;
        }
        motion->from = *to;
        motion->first = (uint8_t)((motion->first + 1u) % MAX_KNOTS);
        motion->count--;
        if (motion->count > 0) {
            begin_segment(motion);
        }
    }
    if (is_still(motion)) {
        return MOTION_STILL;
    }
    brake_for(motion, (int32_t)(now_us - motion->from.time_us)); /* what is left of this tick */
    return MOTION_RAN_OUT;
}

void motion_let_go(motion_t *motion)
{
    if (motion->count == 0) {
        return;
    }
    int32_t length_us = (int32_t)(motion->ahead[motion->first].time_us - motion->from.time_us);
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const cubic_t *curve = &motion->curve[j];
        int32_t bend = 2 * curve->c2 + part(3 * curve->c3, motion->way);
        int64_t rate = curve->a + part(bend, motion->way); /* urad a segment */
        motion->velocity_urad_s[j] = (int32_t)(rate * 1000000 / length_us);
    }
    motion->count = 0;
}

bool motion_brake(motion_t *motion)
{
    brake_for(motion, TICK_US);
    return is_still(motion);
}

bool motion_park(motion_t *motion)
{
    bool is_there = true;
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const joint_t *joint = &motion->joint[j];
        int32_t way = joint->rest_urad - motion->position_urad[j];
        int32_t speed = (int32_t)magnitude(motion->velocity_urad_s[j]);
        int32_t step = clamp(joint->acceleration_mrad_s2, 1, PARK_ACCELERATION_MRAD_S2); /* urad/s a ms */
        int32_t most = (int32_t)joint->velocity_mrad_s * 1000;
        int32_t top = clamp(most < PARK_VELOCITY_URAD_S ? most : PARK_VELOCITY_URAD_S, step, most);
        /* the way of a tick at one step more, and of all that then follow while slowing down */
        bool is_near = (int64_t)(speed + step) * (speed + 2 * step) >= 2000 * (int64_t)step * magnitude(way);
        speed = clamp(is_near ? speed - step : speed + step, step, top);
        int32_t move = speed < 1000 ? 1 : speed / 1000;
        if (magnitude(way) <= move) {
            motion->position_urad[j] += way;
            motion->velocity_urad_s[j] = 0;
            continue;
        }
        is_there = false;
        motion->position_urad[j] += way < 0 ? -move : move;
        motion->velocity_urad_s[j] = way < 0 ? -speed : speed;
    }
    return is_there;
}

void motion_freeze(motion_t *motion)
{
    motion->count = 0;
    for (uint8_t j = 0; j < MAX_JOINTS; j++) {
        motion->velocity_urad_s[j] = 0;
    }
}

uint16_t motion_pulse_us8(const motion_t *motion, uint8_t j)
{
    const joint_t *joint = &motion->joint[j];
    int64_t offset = (int64_t)motion->position_urad[j] * joint->pulse_scale; /* 2^29 an eighth */
    int32_t us8 = (int32_t)((offset + (1l << 28)) >> 29) + (int32_t)joint->pulse_centre_us * 8;
    return (uint16_t)clamp(us8, PULSE_MIN_US * 8, PULSE_MAX_US * 8);
}
