"""What one look at a face says: how much likelier it is if this is the person than if it is a stranger.

Distances between embeddings grow with the gap in head pose, so a look is judged against the remembered looks
at the nearest pose. The distributions were fitted on real film; the tail of look-alikes is assumed, because
without it a relative or a double is taken for the person (5 % wrong instead of under .1 %).
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class LikenessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Distributions of the distance between two looks."""

    same_mean: float = 0.22  # one person, equal pose
    same_growth: float = 0.21  # more than that at very different poses,
    same_scale_rad: float = 0.175  # reached to 63 % at this gap
    same_sd: float = 0.07
    stray_share: float = 0.03  # one person, but a bad crop: share, mean, standard deviation
    stray_mean: float = 0.6
    stray_sd: float = 0.12
    other_mean: float = 0.887  # two people
    other_sd: float = 0.093
    alike_share: float = 0.10  # two people who look alike (assumed)
    alike_mean: float = 0.55
    alike_sd: float = 0.10
    background: float = 1e-4  # density of what none of these explains
    known_share: float = 0.5  # chance that somebody else in view was seen before
    most: float = 6.0  # evidence of one look at most, in nats
    pose_slack_rad: float = 0.105  # looks whose pose is this much further than the nearest compete too
    pitch_weight: float = 0.5  # nodding changes a face less than turning
    new_gap_rad: float = 0.14  # a pose this far from all remembered ones is worth remembering
    learn_below: float = 0.62  # distance above which nothing is learned, however sure the rest is

    @property
    def same_mean_most(self) -> float:
        """Mean distance of one person's looks at very different poses."""
        return self.same_mean + self.same_growth


class Gallery(msgspec.Struct, frozen=True):
    """Remembered looks: vectors (n × 128) and the poses they were seen at (n × 2: pitch, yaw, radians)."""

    looks: Vectors = np.zeros((0, 128), np.float32)
    poses: NDArray[np.float64] = np.zeros((0, 2))

    def added(self, vector: Vectors, pose: tuple[float, float], most: int, keep: int) -> "Gallery":
        """With one more look; a full gallery loses the oldest after the first `keep`."""
        looks, poses = np.vstack([self.looks, vector]), np.vstack([self.poses, pose])
        if len(looks) > most:
            looks, poses = np.delete(looks, keep, axis=0), np.delete(poses, keep, axis=0)
        return Gallery(looks, poses)

    def first(self, count: int) -> "Gallery":
        """Only the first looks."""
        return Gallery(self.looks[:count], self.poses[:count])

    def joined(self, other: "Gallery") -> "Gallery":
        """The looks of both."""
        return Gallery(np.vstack([self.looks, other.looks]), np.vstack([self.poses, other.poses]))

    def without(self, person: "Gallery", nearer_than: float) -> "Gallery":
        """Less the looks that are this person's."""
        if not len(self.looks) or not len(person.looks):
            return self
        distances = np.linalg.norm(self.looks[:, None] - person.looks[None], axis=2).min(axis=1)
        return Gallery(self.looks[distances >= nearer_than], self.poses[distances >= nearer_than])


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """A look against a gallery: log-likelihood ratio, distance to the look, gap to the nearest pose."""

    evidence: float
    distance: float
    gap_rad: float


def compare(
    vector: Vectors, pose: tuple[float, float], gallery: Gallery, hidden: float, config: LikenessConfig
) -> Likeness:
    """Judge a look. `hidden` is the share of the face that cannot be seen; such a face is like nobody."""
    if not len(gallery.looks):
        return Likeness(evidence=0.0, distance=math.inf, gap_rad=math.inf)
    away = gallery.looks - vector
    distances = np.sqrt((away * away).sum(axis=1))  # `norm` asks many questions first
    gaps = np.hypot(*((gallery.poses - pose) * (config.pitch_weight, 1.0)).T)
    nearby = gaps <= gaps.min() + config.pose_slack_rad
    best = int(np.argmin(np.where(nearby, distances, np.inf)))
    distance, gap_rad = float(distances[best]), float(gaps[best])
    mean = config.same_mean + config.same_growth * (1.0 - math.exp(-gap_rad / config.same_scale_rad))
    stray = min(0.9, config.stray_share + hidden)
    # Closer than the mean is no less likely to be the same person.
    same = (1.0 - stray) * _normal(max(distance, mean), mean, config.same_sd)
    same += stray * _normal(distance, config.stray_mean, config.stray_sd)
    other = (1.0 - config.alike_share) * _normal(distance, config.other_mean, config.other_sd)
    other += config.alike_share * _normal(distance, config.alike_mean, config.alike_sd) + config.background
    evidence = math.log(same / other + 1e-6)
    return Likeness(evidence=evidence, distance=distance, gap_rad=float(gaps.min()))


def _normal(value: float, mean: float, sd: float) -> float:
    return math.exp(-0.5 * ((value - mean) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi))
