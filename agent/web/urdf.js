// A robot's URDF as a list of links to draw: where each hangs, how it turns, and its simple shapes.
// Throws an Error with a sentence when the text is no URDF that can be drawn.

const numbers = (text, count) => {
  const list = (text || "").trim().split(/\s+/).filter(Boolean).map(Number);
  return list.length === count && list.every(Number.isFinite) ? list : Array(count).fill(0);
};

function placed(element) {
  const origin = element.querySelector(":scope > origin");
  return { xyz: numbers(origin?.getAttribute("xyz"), 3), rpy: numbers(origin?.getAttribute("rpy"), 3) };
}

function shapesOf(link) {
  return [...link.querySelectorAll(":scope > visual")].flatMap((visual) => {
    const shape = visual.querySelector(":scope > geometry > *");
    const radius = Number(shape?.getAttribute("radius")) || 0, length = Number(shape?.getAttribute("length")) || 0;
    const size = { box: () => numbers(shape.getAttribute("size"), 3), cylinder: () => [2 * radius, 2 * radius, length],
      sphere: () => [2 * radius, 2 * radius, 2 * radius] }[shape?.tagName];
    return size ? [{ kind: shape.tagName === "sphere" ? "ball" : shape.tagName, size: size(), ...placed(visual) }] : []; // meshes are left out
  });
}

// Links in an order in which each stands after its parent. `joint` counts the joints that turn, in the file's
// order, as the robot's own list of angles does; null: fixed.
export function parse(text) {
  const page = new DOMParser().parseFromString(text, "application/xml"), robot = page.querySelector("robot");
  if (!robot || page.querySelector("parsererror")) throw new Error("the robot's URDF cannot be read");
  let turning = 0;
  const joints = [...robot.querySelectorAll(":scope > joint")].map((joint) => ({
    parent: joint.querySelector("parent")?.getAttribute("link"), child: joint.querySelector("child")?.getAttribute("link"),
    axis: numbers(joint.querySelector("axis")?.getAttribute("xyz") || "1 0 0", 3),
    joint: joint.getAttribute("type") === "fixed" ? null : turning++, ...placed(joint),
  }));
  const links = new Map([...robot.querySelectorAll(":scope > link")].map((link) => [link.getAttribute("name"), shapesOf(link)]));
  const children = new Set(joints.map(({ child }) => child));
  const list = [...links.keys()].filter((name) => !children.has(name)).map((name) => ({ name, parent: null, shapes: links.get(name) }));
  for (let i = 0; i < list.length; i++)
    for (const joint of joints) {
      if (joint.parent !== list[i].name || !links.has(joint.child)) continue;
      if (list.some(({ name }) => name === joint.child)) throw new Error(`the robot's URDF hangs ${joint.child} in two places`);
      list.push({ ...joint, name: joint.child, parent: i, shapes: links.get(joint.child) });
    }
  return list;
}
