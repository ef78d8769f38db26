"""Who there is to walk through the rooms: looks by name."""

import msgspec
from msgspec.structs import replace

from sim.paint import Look

SKINS = ((236, 200, 180), (228, 186, 160), (222, 178, 142), (205, 160, 122), (184, 138, 100), (164, 118, 86),
         (153, 109, 79), (122, 84, 60), (104, 71, 52))  # fmt: skip
HAIRS = {"black": (24, 22, 22), "dark": (54, 38, 28), "brown": (92, 62, 40), "red": (132, 66, 36),
         "blond": (182, 146, 98), "grey": (150, 148, 146), "white": (208, 206, 202)}  # fmt: skip
EUROPE, ASIA, AFRICA = (0.85, 0.08, 0.07), (0.08, 0.85, 0.07), (0.07, 0.08, 0.85)
WEST_ASIA, SOUTH_ASIA, SOUTH_EUROPE = (0.65, 0.3, 0.05), (0.55, 0.35, 0.1), (0.75, 0.2, 0.05)
WOMAN, MAN = 0.05, 0.95


def _person(
    seed: int, sex: float, age: float, origin: tuple[float, float, float], skin: int, hair: str, style: str,
    shirt: tuple[int, int, int], **more: object,
) -> Look:  # fmt: skip
    return msgspec.convert(
        {
            "seed": seed, "sex": sex, "age": age, "origin": origin, "skin": SKINS[skin], "hair": HAIRS[hair],
            "style": style, "shirt": shirt, **more,
        },
        Look,
    )  # fmt: skip


# Seeds and lips are those of twenty to forty a name by which `tools/cast.py` keeps people farthest apart; they are
# chosen for it, so they test the lock, not vision's sense of identity. Over ten views up to 40° aside: .998 of a
# person's own pairs below .52, .986 of others' above .60, none below .52. Priya and Sven are too like Dilara and Farid.
CAST: dict[str, Look] = {
    "Anna": _person(
        6513,
        WOMAN,
        0.0,
        EUROPE,
        0,
        "blond",
        "long",
        (70, 110, 150),
        iris=(90, 120, 150),
        lips=(0.85, 0.64, 0.58),
    ),
    "Ben": _person(
        6612, MAN, 0.1, EUROPE, 1, "brown", "short", (60, 90, 70), beard=0.55, lips=(0.95, 0.77, 0.69)
    ),
    "Chidi": _person(6730, MAN, 0.1, AFRICA, 8, "black", "buzz", (190, 170, 130), lips=(0.94, 0.88, 0.82)),
    "Dilara": _person(6806, WOMAN, 0.2, WEST_ASIA, 3, "dark", "bob", (150, 60, 60), lips=(0.9, 0.79, 0.82)),
    "Emi": _person(6914, WOMAN, 0.0, ASIA, 2, "black", "fringe", (210, 205, 200), lips=(0.94, 0.62, 0.62)),
    "Farid": _person(
        7006, MAN, 0.4, WEST_ASIA, 4, "black", "short", (80, 80, 95), beard=0.95, lips=(0.94, 0.82, 0.73)
    ),
    "Grace": _person(7121, WOMAN, 0.3, AFRICA, 7, "black", "afro", (200, 130, 60), lips=(0.97, 0.8, 0.8)),
    "Hans": _person(
        7200,
        MAN,
        0.9,
        EUROPE,
        1,
        "white",
        "bald",
        (110, 90, 70),
        iris=(110, 130, 140),
        lips=(0.97, 0.82, 0.84),
    ),
    "Ines": _person(
        7337,
        WOMAN,
        0.45,
        SOUTH_EUROPE,
        4,
        "dark",
        "long",
        (120, 70, 110),
        glasses="round",
        lips=(0.89, 0.79, 0.65),
    ),
    "Jun": _person(
        7417, MAN, 0.2, ASIA, 3, "black", "short", (40, 50, 80), glasses="square", lips=(0.94, 0.7, 0.79)
    ),
    "Karin": _person(
        7517,
        WOMAN,
        0.95,
        EUROPE,
        0,
        "grey",
        "bob",
        (90, 140, 130),
        glasses="square",
        frame=(120, 50, 50),
        lips=(0.95, 0.72, 0.62),
    ),
    "Lamar": _person(
        7641, MAN, 0.7, AFRICA, 6, "grey", "receding", (70, 70, 70), beard=0.6, lips=(0.92, 0.8, 0.83)
    ),
    "Mia": _person(
        7708,
        0.2,
        0.0,
        EUROPE,
        1,
        "red",
        "fringe",
        (220, 180, 60),
        child=1.0,
        iris=(80, 110, 80),
        lips=(0.94, 0.82, 0.74),
    ),
    "Priya": _person(
        8005, WOMAN, 0.15, SOUTH_ASIA, 5, "black", "long", (40, 120, 120), lips=(0.97, 0.75, 0.75)
    ),
    "Sven": _person(
        8300,
        MAN,
        0.35,
        EUROPE,
        0,
        "red",
        "curly",
        (50, 70, 110),
        beard=0.8,
        iris=(100, 130, 150),
        lips=(0.97, 0.76, 0.73),
    ),
}
# Twins of people above, in other clothes or with other hair: for scenes with look-alikes.
CAST.update(
    Alma=replace(CAST["Anna"], hair=HAIRS["brown"], shirt=(150, 90, 60)),
    Bert=replace(CAST["Ben"], beard=0.35, shirt=(150, 140, 60), trousers=(110, 96, 80)),
    Ngozi=replace(CAST["Grace"], style="buzz", shirt=(70, 60, 120)),
)
LOOK_ALIKES: tuple[str, ...] = ("Alma", "Bert", "Ngozi", "Priya", "Sven")
NAMES: tuple[str, ...] = tuple(name for name in CAST if name not in LOOK_ALIKES)
