"""A body as URDF, for viewers and simulators. Frames, axes and units are the body's own."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from drivers.body import Body, Foot, Joint, Link, Wheels

CASTER_RADIUS_M = 0.01
WHEEL_WIDTH_M = 0.025
CAMERA_SIZE_M = (0.02, 0.05, 0.02)
AXES = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}


def urdf(body: Body) -> str:
    """The robot with its masses, limits and simple shapes; the last frame is the camera's, x ahead.

    Links are `base`, one `<joint>_link` a joint, and `camera`.
    """
    robot = ET.Element("robot", name=body.name)
    _add_base(robot, body)
    parent = "base"
    for joint in body.joint:
        child = f"{joint.name}_link"
        _add_link(robot, child, joint.link)
        _add_joint(robot, joint, parent, child)
        parent = child
    camera = ET.SubElement(robot, "link", name="camera")
    _add_visual(camera, (0.0, 0.0, 0.0), ("box", {"size": _spaced(CAMERA_SIZE_M)}))
    mount = ET.SubElement(robot, "joint", name="camera_mount", type="fixed")
    _add_place(mount, parent, "camera", body.camera.offset_m)
    ET.indent(robot)
    return ET.tostring(robot, encoding="unicode", xml_declaration=True)


def _add_base(robot: ET.Element, body: Body) -> None:
    base = body.base
    link = ET.SubElement(robot, "link", name="base")
    _add_inertial(link, base.mass_kg, base.centre_m, base.inertia_kg_m2)
    match base:
        case Foot():
            shape = {"radius": f"{base.radius_m:g}", "length": f"{base.height_m:g}"}
            _add_visual(link, base.centre_m, ("cylinder", shape))
        case Wheels():
            middle = (0.0, 0.0, base.wheel_radius_m / 2 + base.size_m[2] / 2)
            _add_visual(link, middle, ("box", {"size": _spaced(base.size_m)}))
            shape = {"radius": f"{base.wheel_radius_m:g}", "length": f"{WHEEL_WIDTH_M:g}"}
            for side in (1, -1):
                hub = (0.0, side * base.track_m / 2, base.wheel_radius_m)
                _add_visual(link, hub, ("cylinder", shape), rpy="1.570796327 0 0")
            for x_m, y_m in base.casters_m:
                _add_visual(link, (x_m, y_m, CASTER_RADIUS_M), ("sphere", {"radius": f"{CASTER_RADIUS_M:g}"}))


def _add_link(robot: ET.Element, name: str, part: Link) -> None:
    link = ET.SubElement(robot, "link", name=name)
    _add_inertial(link, part.mass_kg, part.centre_m, part.inertia_kg_m2)
    _add_visual(link, part.centre_m, ("box", {"size": _spaced(part.size_m)}))


def _add_joint(robot: ET.Element, joint: Joint, parent: str, child: str) -> None:
    element = ET.SubElement(robot, "joint", name=joint.name, type="revolute")
    _add_place(element, parent, child, joint.offset_m)
    ET.SubElement(element, "axis", xyz=AXES[joint.axis])
    ET.SubElement(
        element,
        "limit",
        lower=f"{joint.min_rad:.9g}",
        upper=f"{joint.max_rad:.9g}",
        velocity=f"{joint.max_velocity_rad_s:g}",
        effort=f"{joint.max_torque_nm:g}",
    )


def _add_place(joint: ET.Element, parent: str, child: str, offset_m: Iterable[float]) -> None:
    ET.SubElement(joint, "origin", xyz=_spaced(offset_m), rpy="0 0 0")
    ET.SubElement(joint, "parent", link=parent)
    ET.SubElement(joint, "child", link=child)


def _add_inertial(
    link: ET.Element, mass_kg: float, centre_m: Iterable[float], inertia_kg_m2: tuple[float, float, float]
) -> None:
    inertial = ET.SubElement(link, "inertial")
    ET.SubElement(inertial, "origin", xyz=_spaced(centre_m), rpy="0 0 0")
    ET.SubElement(inertial, "mass", value=f"{mass_kg:.9g}")
    xx, yy, zz = (f"{value:.9g}" for value in inertia_kg_m2)
    ET.SubElement(inertial, "inertia", ixx=xx, iyy=yy, izz=zz, ixy="0", ixz="0", iyz="0")


def _add_visual(
    link: ET.Element, middle_m: Iterable[float], shape: tuple[str, dict[str, str]], rpy: str = "0 0 0"
) -> None:
    visual = ET.SubElement(link, "visual")
    ET.SubElement(visual, "origin", xyz=_spaced(middle_m), rpy=rpy)
    ET.SubElement(ET.SubElement(visual, "geometry"), shape[0], shape[1])


def _spaced(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.9g}" for number in numbers)
