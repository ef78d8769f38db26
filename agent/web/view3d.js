// The robot from outside, as its URDF says: boxes, cylinders and spheres in WebGL, lit by one lamp and the sky.
// Room frame as everywhere in Nod: x forward, y left, z up, metres and radians.

const FIELD_OF_VIEW_RAD = 0.75;
const PERIOD_MS = 30; // the pose comes every 40 ms; a screen at 120 Hz need not draw it thrice
const SLOW_MS = 60;
const GOLD = [1.0, 0.78, 0.34];
const DARK = [0.11, 0.16, 0.23];
const STEEL = [0.62, 0.65, 0.7];
const CLOTHES = [[0.25, 0.42, 0.62], [0.62, 0.32, 0.3], [0.3, 0.52, 0.4], [0.52, 0.4, 0.6], [0.7, 0.55, 0.28], [0.35, 0.37, 0.42]];

const VERTEX = `
attribute vec3 place; attribute vec3 normal;
uniform mat4 project, model;
varying vec3 toward; varying vec2 spot;
void main() {
  toward = mat3(model) * normal;
  spot = vec2(0.5 + place.y, 0.5 - place.z);
  gl_Position = project * model * vec4(place, 1.0);
}`;
const FRAGMENT = `
precision mediump float;
uniform vec4 colour; uniform float glow, pictured; uniform sampler2D picture;
varying vec3 toward; varying vec2 spot;
void main() {
  vec3 n = normalize(toward);
  float light = 0.8 + 0.26 * dot(n, vec3(0.36, -0.48, 0.8));
  vec3 base = pictured > 0.5 ? texture2D(picture, spot).rgb : colour.rgb;
  gl_FragColor = vec4(base * mix(light, 1.0, glow), colour.a);
}`;

// 4×4 matrices are column-major arrays of 16, as WebGL wants them.
function multiply(a, b) {
  const out = new Float32Array(16);
  for (let column = 0; column < 4; column++)
    for (let row = 0; row < 4; row++)
      for (let k = 0; k < 4; k++) out[column * 4 + row] += a[k * 4 + row] * b[column * 4 + k];
  return out;
}
const chain = (...all) => all.reduce(multiply);
const move = ([x, y, z]) => new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, y, z, 1]);
const scale = (x, y, z) => new Float32Array([x, 0, 0, 0, 0, y, 0, 0, 0, 0, z, 0, 0, 0, 0, 1]);
function turn(axis, angle) {
  const c = Math.cos(angle), s = Math.sin(angle);
  const rows = { x: [1, 0, 0, 0, c, s, 0, -s, c], y: [c, 0, -s, 0, 1, 0, s, 0, c], z: [c, s, 0, -s, c, 0, 0, 0, 1] }[axis];
  return new Float32Array([...rows.slice(0, 3), 0, ...rows.slice(3, 6), 0, ...rows.slice(6), 0, 0, 0, 0, 1]);
}
const turned = ([roll, pitch, yaw]) => chain(turn("z", yaw), turn("y", pitch), turn("x", roll)); // URDF's rpy
function spin(axis, angle) {
  // Rodrigues' formula about an axis of any length.
  const [x, y, z] = unit(axis), c = Math.cos(angle), s = Math.sin(angle), d = 1 - c;
  return new Float32Array([c + x * x * d, y * x * d + z * s, z * x * d - y * s, 0, x * y * d - z * s, c + y * y * d, z * y * d + x * s, 0,
    x * z * d + y * s, y * z * d - x * s, c + z * z * d, 0, 0, 0, 0, 1]);
}
const origin = (m) => [m[12], m[13], m[14]];
const minus = (a, b) => a.map((value, i) => value - b[i]);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a) => a.map((value) => value / (Math.hypot(...a) || 1));

function look(eye, target) {
  const back = unit(minus(eye, target)), right = unit(cross([0, 0, 1], back)), up = cross(back, right);
  return new Float32Array([right[0], up[0], back[0], 0, right[1], up[1], back[1], 0, right[2], up[2], back[2], 0,
    -dot(right, eye), -dot(up, eye), -dot(back, eye), 1]);
}
function perspective(angle, aspect, near, far) {
  const f = 1 / Math.tan(angle / 2);
  return new Float32Array([f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, 2 * far * near / (near - far), 0]);
}

// Shapes as flat lists of (place, normal), all of size 1 about the origin; a cylinder stands along z.
function quad(list, corners, normals) {
  for (const i of [0, 1, 2, 0, 2, 3]) list.push(...corners[i], ...normals[i]);
}
function boxShape() {
  const list = [];
  for (let axis = 0; axis < 3; axis++)
    for (const side of [-1, 1]) {
      const n = [0, 0, 0];
      n[axis] = side;
      const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([u, v]) => {
        const c = [0, 0, 0];
        c[axis] = side / 2; c[(axis + 1) % 3] = u / 2; c[(axis + 2) % 3] = v / 2;
        return c;
      });
      quad(list, corners, [n, n, n, n]);
    }
  return list;
}
function screenShape() {
  const n = [1, 0, 0], list = [];
  quad(list, [[0, -0.5, -0.5], [0, 0.5, -0.5], [0, 0.5, 0.5], [0, -0.5, 0.5]], [n, n, n, n]);
  return list;
}
function cylinderShape(sides = 28) {
  const list = [], at = (i, z) => [Math.cos(i / sides * 2 * Math.PI) / 2, Math.sin(i / sides * 2 * Math.PI) / 2, z];
  for (let i = 0; i < sides; i++) {
    const a = at(i, -0.5), b = at(i + 1, -0.5), c = at(i + 1, 0.5), d = at(i, 0.5);
    const na = [a[0], a[1], 0], nb = [b[0], b[1], 0];
    quad(list, [a, b, c, d], [na, nb, nb, na]);
    for (const z of [-0.5, 0.5]) for (const p of [[0, 0, z], at(i, z), at(i + 1, z)]) list.push(...p, 0, 0, z);
  }
  return list;
}
function ballShape(rings = 14, sides = 22) {
  const list = [];
  const at = (r, s) => [Math.sin(r / rings * Math.PI) * Math.cos(s / sides * 2 * Math.PI) / 2,
    Math.sin(r / rings * Math.PI) * Math.sin(s / sides * 2 * Math.PI) / 2, Math.cos(r / rings * Math.PI) / 2];
  for (let r = 0; r < rings; r++)
    for (let s = 0; s < sides; s++) {
      const corners = [at(r, s), at(r + 1, s), at(r + 1, s + 1), at(r, s + 1)];
      quad(list, corners, corners);
    }
  return list;
}

export class View {
  // Throws an Error with a sentence when this browser has no WebGL.
  constructor(canvas, names, face) {
    let gl = canvas.getContext("webgl", { alpha: false, failIfMajorPerformanceCaveat: true });
    const isSlow = !gl; // drawn by the processor, which has the robot to run
    gl ||= canvas.getContext("webgl", { alpha: false, antialias: false });
    if (!gl) throw new Error("no 3-D view: this browser has no WebGL (or it is switched off)");
    Object.assign(this, { gl, canvas, names, face, scene: null, robot: [], joints: [], people: [], dirty: true, labels: new Map() });
    this.show("room");
    this.density = isSlow ? 0.8 : Math.min(devicePixelRatio || 1, 2);
    this.slow = 0;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`no 3-D view: ${gl.getProgramInfoLog(program)}`);
    gl.useProgram(program);
    this.at = {};
    for (const name of ["project", "model", "colour", "glow", "pictured"]) this.at[name] = gl.getUniformLocation(program, name);
    const all = [];
    this.shapes = {};
    for (const [name, list] of Object.entries({ box: boxShape(), cylinder: cylinderShape(), ball: ballShape(), screen: screenShape() })) {
      this.shapes[name] = [all.length / 6, list.length / 6];
      for (const value of list) all.push(value); // a spread of so many arguments would overflow the stack
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(all), gl.STATIC_DRAW);
    for (const [i, name] of ["place", "normal"].entries()) {
      const where = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(where);
      gl.vertexAttribPointer(where, 3, gl.FLOAT, false, 24, i * 12);
    }
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [key, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, key, value);
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    this.#listen();
    new ResizeObserver(() => { this.dirty = true; }).observe(canvas);
    canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); this.isLost = true; });
    canvas.addEventListener("webglcontextrestored", () => location.reload());
  }

  set(change) {
    Object.assign(this, change);
    this.dirty = true;
  }

  // Look at the robot and the people before it, or at the robot alone.
  show(what) {
    Object.assign(this, what === "room" ? { azimuth: 1.25, elevation: 0.2, distance: 3.0, ahead: 0.75, dirty: true }
      : { azimuth: 0.7, elevation: 0.16, distance: 1.05, ahead: 0.02, dirty: true });
  }

  // Where the browser draws in software, fewer pixels leave time for the camera's pictures.
  #adapt(now) {
    const gap = now - (this.drawn || now);
    this.drawn = now;
    this.slow = gap > 300 ? this.slow : this.slow * 0.9 + (gap > SLOW_MS ? 0.1 : 0);
    if (this.slow < 0.6 || this.density <= 0.5) return;
    this.density *= 0.7;
    this.slow = 0;
  }

  #listen() {
    const touches = new Map();
    let spread = 0;
    this.canvas.addEventListener("pointerdown", (event) => {
      touches.set(event.pointerId, [event.clientX, event.clientY]);
      this.canvas.setPointerCapture(event.pointerId);
      spread = 0;
    });
    for (const end of ["pointerup", "pointercancel"])
      this.canvas.addEventListener(end, (event) => { touches.delete(event.pointerId); spread = 0; });
    this.canvas.addEventListener("pointermove", (event) => {
      const old = touches.get(event.pointerId);
      if (!old) return;
      touches.set(event.pointerId, [event.clientX, event.clientY]);
      const [a, b] = [...touches.values()];
      if (b) {
        const now = Math.hypot(a[0] - b[0], a[1] - b[1]);
        if (spread) this.#orbit(0, 0, spread / now);
        spread = now;
      } else this.#orbit((old[0] - event.clientX) * 0.008, (event.clientY - old[1]) * 0.006, 1);
    });
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#orbit(0, 0, Math.exp(event.deltaY * 0.001));
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.15, 0, 1], ArrowRight: [0.15, 0, 1], ArrowUp: [0, 0.1, 1], ArrowDown: [0, -0.1, 1],
        "+": [0, 0, 0.87], "=": [0, 0, 0.87], "-": [0, 0, 1.15] }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#orbit(...step);
    });
  }

  #orbit(azimuth, elevation, zoom) {
    this.azimuth += azimuth;
    this.elevation = Math.min(1.45, Math.max(-0.05, this.elevation + elevation));
    this.distance = Math.min(9, Math.max(0.5, this.distance * zoom));
    this.dirty = true;
  }

  #put(shape, model, colour, { alpha = 1, glow = 0, pictured = 0 } = {}) {
    const { gl, at } = this;
    gl.uniformMatrix4fv(at.model, false, model);
    gl.uniform4f(at.colour, ...colour, alpha);
    gl.uniform1f(at.glow, glow);
    gl.uniform1f(at.pictured, pictured);
    gl.drawArrays(gl.TRIANGLES, ...this.shapes[shape]);
  }

  #tube(frame, end, width, colour) {
    // From the frame's origin to a point in it; the cylinder's z is turned onto that line.
    const length = Math.hypot(...end);
    if (length < 0.005) return;
    const lean = chain(turn("z", Math.atan2(end[1], end[0])), turn("y", Math.acos(end[2] / length)));
    this.#put("cylinder", chain(frame, lean, move([0, 0, length / 2]), scale(width, width, length)), colour);
  }

  // Draw if anything changed since the last time.
  draw(now) {
    const { gl, canvas, scene, density } = this;
    if (!this.dirty || !scene || this.isLost || !canvas.clientWidth || now - this.drawn < PERIOD_MS) return;
    this.dirty = false;
    this.#adapt(now);
    const width = Math.round(canvas.clientWidth * density), height = Math.round(canvas.clientHeight * density);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(...(this.isDark ? [0.13, 0.15, 0.18] : [0.81, 0.84, 0.87]), 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);

    const base = chain(move(scene.base_m), turn("z", scene.base_yaw_rad));
    const target = origin(multiply(base, move([this.ahead, 0, 0.27])));
    const angle = this.azimuth + scene.base_yaw_rad, flat = Math.cos(this.elevation) * this.distance;
    const eye = [target[0] + flat * Math.cos(angle), target[1] + flat * Math.sin(angle), target[2] + Math.sin(this.elevation) * this.distance];
    const project = multiply(perspective(FIELD_OF_VIEW_RAD, width / height, 0.05, 60), look(eye, target));
    gl.uniformMatrix4fv(this.at.project, false, project);

    this.#drawRoom(eye, target, base);
    this.#drawRobot(base);
    this.people.forEach((person, i) => this.#drawPerson(person, CLOTHES[i % CLOTHES.length]));
    this.#drawNames(project);
  }

  #drawRoom(eye, target, base) {
    for (const { centre_m, size_m, yaw_rad, rgb } of this.scene.blocks) {
      const turned = multiply(move(centre_m), turn("z", yaw_rad));
      const thin = size_m.indexOf(Math.min(...size_m)), wide = Math.max(...size_m);
      if (size_m[thin] < 0.3 && wide > 1.8) {
        // A wall, floor or ceiling with the robot on its other side would hide everything: leave it out.
        const normal = Array.from(turned.slice(thin * 4, thin * 4 + 3));
        const side = (point) => dot(normal, minus(point, centre_m));
        if (side(eye) * side(target) < 0) continue;
      }
      this.#put("box", multiply(turned, scale(...size_m)), rgb);
    }
    if (!this.scene.blocks.length) // nobody knows the room: a table top to stand on
      this.#put("cylinder", chain(base, move([0, 0, -0.01]), scale(0.7, 0.7, 0.02)), [0.74, 0.7, 0.63]);
  }

  #drawRobot(base) {
    const { scene, joints, gl, robot } = this;
    const tone = this.isStopped ? [0.78, 0.2, 0.17] : GOLD, frames = [];
    const last = robot.findLastIndex(({ joint }) => typeof joint === "number"); // it sits inside the screen
    robot.forEach(({ parent, joint, axis, xyz, rpy, shapes }, i) => {
      const isBase = parent === null;
      const hung = isBase ? base : chain(frames[parent], move(xyz), turned(rpy));
      frames[i] = isBase || joint === null ? hung : multiply(hung, spin(axis, joints[joint] || 0));
      if (!isBase && joint !== null) {
        this.#tube(frames[parent], xyz, 0.036, STEEL); // what holds it, which a URDF does not draw
        if (i !== last) this.#put("ball", multiply(frames[i], scale(0.055, 0.055, 0.055)), tone);
      }
      for (const { kind, size, xyz: at, rpy: lean } of shapes)
        this.#put(kind, chain(frames[i], move(at), turned(lean), scale(...size)), isBase || joint === null ? DARK : STEEL);
    });
    const frame = frames[last];
    if (!frame) return;
    const [wide, high] = scene.screen_m;
    this.#put("box", chain(frame, move([0.012, 0, 0]), scale(0.024, wide + 0.02, high + 0.02)), DARK);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, this.face);
    this.#put("screen", chain(frame, move([0.0255, 0, 0]), scale(1, wide, high)), GOLD, { pictured: 1, glow: 1 });
    const lens = multiply(frame, move(scene.camera_offset_m));
    this.#put("ball", chain(lens, move([0.014, 0, 0]), scale(0.012, 0.016, 0.016)), [0.35, 0.5, 0.7], { glow: 0.6 });
    gl.enable(gl.BLEND);
    this.#put("box", chain(lens, move([1.02, 0, 0]), scale(2, 0.006, 0.006)), tone, { alpha: 0.5, glow: 1 }); // where it looks
    gl.disable(gl.BLEND);
  }

  #drawPerson({ x_m, y_m, z_m, yaw_rad }, colour) {
    const at = multiply(move([x_m, y_m, 0]), turn("z", yaw_rad)), hips = z_m * 0.53, neck = z_m * 0.88;
    const skin = [0.87, 0.69, 0.57], hair = [0.25, 0.2, 0.17], legs = colour.map((value) => value * 0.5);
    for (const side of [-1, 1]) {
      this.#put("cylinder", chain(at, move([0, side * 0.09, hips / 2]), scale(0.14, 0.14, hips)), legs);
      this.#put("cylinder", chain(at, move([0.02, side * 0.235, (hips + neck) / 2 - 0.05]), turn("x", side * 0.1), scale(0.085, 0.085, neck - hips)), colour);
      this.#put("ball", chain(at, move([0.03, side * 0.265, hips - 0.04]), scale(0.09, 0.07, 0.11)), skin);
    }
    this.#put("cylinder", chain(at, move([0, 0, (hips + neck) / 2 - 0.03]), scale(0.22, 0.37, neck - hips)), colour);
    this.#put("ball", chain(at, move([0, 0, neck - 0.03]), scale(0.23, 0.42, 0.17)), colour);
    this.#put("cylinder", chain(at, move([0, 0, neck + 0.05]), scale(0.1, 0.1, 0.12)), skin);
    this.#put("ball", chain(at, move([0, 0, z_m]), scale(0.2, 0.165, 0.25)), skin);
    this.#put("ball", chain(at, move([-0.022, 0, z_m + 0.03]), scale(0.205, 0.18, 0.235)), hair);
    this.#put("ball", chain(at, move([0.1, 0, z_m - 0.015]), scale(0.035, 0.03, 0.045)), skin);
    for (const side of [-1, 1]) this.#put("ball", chain(at, move([0.092, side * 0.033, z_m + 0.012]), scale(0.014, 0.024, 0.018)), DARK);
  }

  #drawNames(project) {
    const left = new Set(this.labels.keys());
    for (const { name, x_m, y_m, z_m } of this.people) {
      left.delete(name);
      let label = this.labels.get(name);
      if (!label) {
        label = document.createElement("span");
        label.textContent = name;
        this.names.append(label);
        this.labels.set(name, label);
      }
      const spot = multiply(project, move([x_m, y_m, z_m + 0.22])), depth = spot[15];
      label.hidden = depth < 0.1;
      const x = (spot[12] / depth + 1) / 2 * this.canvas.clientWidth, y = (1 - spot[13] / depth) / 2 * this.canvas.clientHeight;
      label.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px) translate(-50%, -100%)`;
    }
    for (const name of left) { this.labels.get(name).remove(); this.labels.delete(name); }
  }
}
