#include "motion.h"

#define ANGLE_LIMIT_URAD 3200000 /* a little over pi */
#define VELOCITY_LIMIT_MRAD_S 32767 /* what a set-point can say */
#define ACCELERATION_LIMIT_MRAD_S2 1000000u /* keeps the products below in 64 bits */
#define PULSE_MIN_US 400 /* below and above, servos run into their own stops */
#define PULSE_MAX_US 2600
#define PULSE_PER_RAD_LIMIT_NS 2000000
#define AHEAD_LIMIT_US 1000000
#define SEGMENT_MIN_US 2000 /* shorter, and rounding swamps the acceleration check */
#define PARK_VELOCITY_NRAD_S 300000000LL /* 0.3 rad/s: slow enough to step back from */
#define PARK_ACCELERATION_MRAD_S2 1000
#define TICK_US 1000
#define HULL_MARGIN_NRAD 100000 /* 0.1 mrad; at 1000 rad/s3 and 10 ms, 0.025 are needed */
#define UNIT_BITS 20 /* the way through a segment, as a fraction of 2^20 */

/* Position over one segment, nrad: start + s (a + s (c2 + s c3)), s from 0 to 1. */
typedef struct {
    int64_t start, end, a, b, c2, c3;
    int64_t length_us;
} cubic_t;

static int64_t magnitude(int64_t value) { return value < 0 ? -value : value; }

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Cubic Hermite between two knots. */
static cubic_t cubic_between(const knot_t *from, const knot_t *to, uint8_t j)
{
    cubic_t cubic;
    cubic.length_us = (int32_t)(to->time_us - from->time_us);
    cubic.start = (int64_t)from->position_urad[j] * 1000;
    cubic.end = (int64_t)to->position_urad[j] * 1000;
    cubic.a = (int64_t)from->velocity_urad_s[j] * cubic.length_us / 1000;
    cubic.b = (int64_t)to->velocity_urad_s[j] * cubic.length_us / 1000;
    int64_t distance = cubic.end - cubic.start;
    cubic.c2 = 3 * distance - 2 * cubic.a - cubic.b;
    cubic.c3 = cubic.a + cubic.b - 2 * distance;
    return cubic;
}

static bool is_position_kept(const cubic_t *cubic, const joint_t *joint)
{
    /* The curve lies within the hull of its Bezier points. The margin is for plans that come to rest at a limit
     * within a segment, and for rounding to 1 mrad/s; the tick never leaves the limits themselves. */
    int64_t margin = HULL_MARGIN_NRAD + cubic->length_us / 6;
    int64_t low = (int64_t)joint->min_urad * 1000 - margin;
    int64_t high = (int64_t)joint->max_urad * 1000 + margin;
    int64_t near_start = cubic->start + cubic->a / 3;
    int64_t near_end = cubic->end - cubic->b / 3;
    return near_start >= low && near_start <= high && near_end >= low && near_end <= high;
}

static bool is_velocity_kept(const cubic_t *cubic, const joint_t *joint)
{
    int64_t c2 = cubic->c2 / 1000;
    int64_t c3 = cubic->c3 / 1000;
    bool has_peak = c3 != 0 && (c2 < 0) != (c3 < 0) && magnitude(c2) < magnitude(3 * c3);
    if (!has_peak) {
        return true; /* fastest at an end, and the ends are checked as knots */
    }
    int64_t peak = cubic->a / 1000 - c2 * c2 / (3 * c3);
    int64_t margin = 8 + cubic->length_us / 2000; /* rounding to 1 urad and 1 mrad/s */
    return magnitude(peak) <= (int64_t)joint->velocity_urad_s * cubic->length_us / 1000000 + margin;
}

static bool is_acceleration_kept(const cubic_t *cubic, const joint_t *joint)
{
    int64_t limit = joint->acceleration_mrad_s2 * cubic->length_us * cubic->length_us / 1000000;
    int64_t margin = 6000 + 3 * cubic->length_us; /* rounding to 1 urad and 1 mrad/s */
    int64_t at_start = magnitude(2 * cubic->c2);
    int64_t at_end = magnitude(2 * cubic->c2 + 6 * cubic->c3);
    return at_start <= limit + margin && at_end <= limit + margin;
}

static bool has_room_to_stop(const knot_t *knot, const joint_t *joint, uint8_t j)
{
    int64_t velocity = knot->velocity_urad_s[j];
    int64_t way = velocity * velocity / (2000LL * joint->acceleration_mrad_s2);
    int64_t stop = knot->position_urad[j] + (velocity < 0 ? -way : way);
    return stop >= joint->min_urad && stop <= joint->max_urad;
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
        .min_urad = limits->min_urad,
        .max_urad = limits->max_urad,
        .rest_urad = limits->rest_urad,
        .velocity_urad_s = (int32_t)limits->velocity_mrad_s * 1000,
        .acceleration_mrad_s2 = (int32_t)limits->acceleration_mrad_s2,
        .pulse_per_rad_ns = scale,
        .pulse_centre_us = limits->pulse_centre_us,
        .pin = limits->pin,
    };
    int64_t at_min = (int64_t)joint.min_urad * scale / 1000000000 + joint.pulse_centre_us;
    int64_t at_max = (int64_t)joint.max_urad * scale / 1000000000 + joint.pulse_centre_us;
    if (at_min < PULSE_MIN_US || at_min > PULSE_MAX_US || at_max < PULSE_MIN_US || at_max > PULSE_MAX_US) {
        return REASON_LIMITS;
    }
    joint_t *old = &motion->joint[limits->joint];
    int64_t position = motion->position_nrad[limits->joint];
    bool is_inside = position >= (int64_t)joint.min_urad * 1000 && position <= (int64_t)joint.max_urad * 1000;
    if (attached && limits->joint < motion->joint_count) {
        bool is_same_pulse = old->pulse_per_rad_ns == joint.pulse_per_rad_ns
            && old->pulse_centre_us == joint.pulse_centre_us && old->pin == joint.pin;
        if (!is_inside || !is_same_pulse) {
            return REASON_LIMITS;
        }
    } else if (!old->is_set || !is_inside) {
        motion->position_nrad[limits->joint] = (int64_t)joint.rest_urad * 1000;
    }
    *old = joint;
    return REASON_NONE;
}

uint32_t motion_tail_us(const motion_t *motion, uint32_t now_us)
{
    return motion->count == 0 ? now_us
                              : motion->ahead[(motion->first + motion->count - 1u) % MAX_KNOTS].time_us;
}

uint8_t motion_append(motion_t *motion, const knot_t *knot, uint32_t now_us)
{
    knot_t here;
    const knot_t *from;
    if (motion->count == 0) {
        here.time_us = now_us;
        for (uint8_t j = 0; j < MAX_JOINTS; j++) {
            here.position_urad[j] = (int32_t)(motion->position_nrad[j] / 1000);
            here.velocity_urad_s[j] = (int32_t)(motion->velocity_nrad_s[j] / 1000);
        }
        from = &here;
    } else {
        from = &motion->ahead[(motion->first + motion->count - 1u) % MAX_KNOTS];
    }
    if ((int32_t)(knot->time_us - now_us) < SEGMENT_MIN_US) {
        return REASON_LATE;
    }
    if ((int32_t)(knot->time_us - now_us) > AHEAD_LIMIT_US) {
        return REASON_EARLY;
    }
    if ((int32_t)(knot->time_us - from->time_us) < SEGMENT_MIN_US) {
        return REASON_ORDER;
    }
    if (motion->count == MAX_KNOTS) {
        return REASON_FULL;
    }
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const joint_t *joint = &motion->joint[j];
        if (knot->position_urad[j] < joint->min_urad || knot->position_urad[j] > joint->max_urad) {
            return REASON_POSITION;
        }
        if (magnitude(knot->velocity_urad_s[j]) > joint->velocity_urad_s) {
            return REASON_VELOCITY;
        }
        if (!has_room_to_stop(knot, joint, j)) {
            return REASON_ROOM;
        }
        cubic_t cubic = cubic_between(from, knot, j);
        if (!is_velocity_kept(&cubic, joint)) {
            return REASON_VELOCITY;
        }
        if (!is_acceleration_kept(&cubic, joint)) {
            return REASON_ACCELERATION;
        }
        if (!is_position_kept(&cubic, joint)) {
            return REASON_POSITION;
        }
    }
    if (motion->count == 0) {
        motion->from = here;
        motion->first = 0;
    }
    motion->ahead[(motion->first + motion->count) % MAX_KNOTS] = *knot;
    motion->count++;
    return REASON_NONE;
}

/* Puts all joints where the segment to `to` has them at `now_us`. */
static void place(motion_t *motion, const knot_t *to, uint32_t now_us)
{
    int64_t since_us = (int32_t)(now_us - motion->from.time_us);
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const joint_t *joint = &motion->joint[j];
        cubic_t cubic = cubic_between(&motion->from, to, j);
        int64_t s = clamp(since_us, 0, cubic.length_us) * (1 << UNIT_BITS) / cubic.length_us;
        int64_t bend = cubic.c2 + cubic.c3 * s / (1 << UNIT_BITS);
        int64_t slope = cubic.a + bend * s / (1 << UNIT_BITS);
        int64_t position = cubic.start + slope * s / (1 << UNIT_BITS);
        int64_t twist = 2 * cubic.c2 + 3 * cubic.c3 * s / (1 << UNIT_BITS);
        int64_t rate = cubic.a + twist * s / (1 << UNIT_BITS);
        motion->position_nrad[j]
            = clamp(position, (int64_t)joint->min_urad * 1000, (int64_t)joint->max_urad * 1000);
        motion->velocity_nrad_s[j] = rate * 1000000 / cubic.length_us;
    }
}

static bool is_still(const motion_t *motion)
{
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        if (motion->velocity_nrad_s[j] != 0) {
            return false;
        }
    }
    return true;
}

motion_progress_t motion_follow(motion_t *motion, uint32_t now_us)
{
    while (motion->count > 0) {
        const knot_t *to = &motion->ahead[motion->first];
        if ((int32_t)(now_us - to->time_us) < 0) {
            place(motion, to, now_us);
            return MOTION_GOING;
        }
        place(motion, to, to->time_us);
        for (uint8_t j = 0; j < motion->joint_count; j++) {
            motion->velocity_nrad_s[j] = (int64_t)to->velocity_urad_s[j] * 1000; /* exactly, so 0 is 0 */
        }
        motion->from = *to;
        motion->first = (uint8_t)((motion->first + 1u) % MAX_KNOTS);
        motion->count--;
    }
    return is_still(motion) ? MOTION_STILL : MOTION_RAN_OUT;
}

bool motion_brake(motion_t *motion)
{
    motion->count = 0;
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const joint_t *joint = &motion->joint[j];
        int64_t velocity = motion->velocity_nrad_s[j];
        int64_t less = (int64_t)joint->acceleration_mrad_s2 * TICK_US; /* mrad/s2 times us is nrad/s */
        int64_t slower = magnitude(velocity) <= less ? 0 : velocity < 0 ? velocity + less : velocity - less;
        int64_t low = (int64_t)joint->min_urad * 1000;
        int64_t high = (int64_t)joint->max_urad * 1000;
        int64_t position = motion->position_nrad[j] + (velocity + slower) / 2 * TICK_US / 1000000;
        motion->position_nrad[j] = clamp(position, low, high);
        motion->velocity_nrad_s[j] = position < low || position > high ? 0 : slower;
    }
    return is_still(motion);
}

bool motion_park(motion_t *motion)
{
    bool is_there = true;
    motion->count = 0;
    for (uint8_t j = 0; j < motion->joint_count; j++) {
        const joint_t *joint = &motion->joint[j];
        int64_t way = (int64_t)joint->rest_urad * 1000 - motion->position_nrad[j];
        int64_t speed = magnitude(motion->velocity_nrad_s[j]);
        int64_t acceleration = joint->acceleration_mrad_s2 < PARK_ACCELERATION_MRAD_S2
            ? joint->acceleration_mrad_s2 : PARK_ACCELERATION_MRAD_S2;
        int64_t step = acceleration * TICK_US;
        int64_t top = clamp((int64_t)joint->velocity_urad_s * 1000, 0, PARK_VELOCITY_NRAD_S);
        /* speed squared over twice the acceleration is the way needed to stop, nrad */
        int64_t needed = speed / 1000 * (speed / 1000) / (2 * acceleration);
        speed = needed >= magnitude(way) ? speed - step : speed + step;
        speed = clamp(speed, step, top < step ? step : top);
        int64_t move = speed * TICK_US / 1000000;
        if (magnitude(way) <= move) {
            motion->position_nrad[j] += way;
            motion->velocity_nrad_s[j] = 0;
            continue;
        }
        is_there = false;
        motion->position_nrad[j] += way < 0 ? -move : move;
        motion->velocity_nrad_s[j] = way < 0 ? -speed : speed;
    }
    return is_there;
}

void motion_freeze(motion_t *motion)
{
    motion->count = 0;
    for (uint8_t j = 0; j < MAX_JOINTS; j++) {
        motion->velocity_nrad_s[j] = 0;
    }
}

uint16_t motion_pulse_us(const motion_t *motion, uint8_t j)
{
    const joint_t *joint = &motion->joint[j];
    int64_t offset_ps = motion->position_nrad[j] / 1000 * joint->pulse_per_rad_ns / 1000;
    int64_t rounded = (offset_ps + (offset_ps < 0 ? -500000 : 500000)) / 1000000;
    return (uint16_t)clamp(rounded + joint->pulse_centre_us, PULSE_MIN_US, PULSE_MAX_US);
}
