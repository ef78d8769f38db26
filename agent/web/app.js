// The page: one websocket in, a few messages out. Everything that a person or a model wrote is put in as text,
// never as markup.

import { TapeBar } from "./tape.js";
import { parse } from "./urdf.js";
import { View } from "./view3d.js";

const STALE_MS = 2000; // a picture older than this is not what the robot sees
const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const SILENCE_MS = 4000; // the link is up but says nothing: a sleeping laptop, a hung program
const MARK = "#ffc857";
const WHO = {
  page: "somebody on the page", cli: "somebody in a terminal", keyboard: "somebody at its keyboard",
  button: "the button on the robot", mqtt: "somebody over MQTT",
};
const MAX_LINES = 200;

const $ = (id) => document.getElementById(id);
const page = { socket: null, tries: 0, scene: null, maxText: 2000, isStopped: false, lastPicture: -1e9, lastCall: -1e9,
  lastWord: 0, lock: null, plans: new Map(), isOnline: false };

// ── the picture

const pens = { camera: $("camera").getContext("2d", { alpha: false }), call: $("call-picture").getContext("2d", { alpha: false }) };

async function showPicture(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  try {
    const picture = await createImageBitmap(new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }));
    drawPicture(head, picture);
    picture.close();
  } finally {
    send({ type: "drawn", stream: head.stream });
  }
}

function drawPicture(head, picture) {
  const pen = pens[head.stream], { canvas } = pen;
  if (canvas.width !== picture.width || canvas.height !== picture.height || !page.pictures) {
    Object.assign(canvas, { width: picture.width, height: picture.height });
    if (head.stream === "camera") $("frame").style.setProperty("--aspect", picture.width / picture.height);
  }
  pen.drawImage(picture, 0, 0);
  if (head.stream === "call") {
    page.lastCall = performance.now() - head.age_s * 1000;
    $("call").hidden = false;
    drawFace(canvas, head.marks[0], picture.width / head.width_px);
    for (const mark of head.marks) box(pen, mark, picture.width / head.width_px, false);
    return;
  }
  page.lastPicture = performance.now() - head.age_s * 1000;
  page.pictures = (page.pictures || 0) + 1;
  document.documentElement.dataset.pictures = page.pictures;
  const marks = [...head.marks].sort((a, b) => a.is_locked - b.is_locked); // the locked one on top
  for (const mark of marks) box(pen, mark, picture.width / head.width_px, true);
}

function box(pen, mark, ratio, isTagged) {
  const [x, y, w, h] = [mark.x_px, mark.y_px, mark.width_px, mark.height_px].map((value) => value * ratio);
  const thick = Math.max(2, pen.canvas.width / 280) * (mark.is_locked ? 1.9 : 1);
  pen.lineJoin = "round";
  for (const [colour, extra] of [["#0b0c0eb0", 2], [mark.is_locked ? MARK : "#ffffffd9", 0]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick + extra;
    pen.beginPath();
    pen.roundRect(x, y, w, h, thick * 2.5);
    pen.stroke();
  }
  if (!isTagged) return;
  const far = mark.distance_m === null ? "" : `${mark.distance_m.toFixed(1)} m`;
  const text = mark.is_locked ? ["locked", far].filter(Boolean).join(" · ") : far;
  if (!text) return;
  const size = Math.round(pen.canvas.width / 34);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  const wide = pen.measureText(text).width + size * 0.8, high = size * 1.45;
  const left = Math.max(2, Math.min(x, pen.canvas.width - wide - 2)), top = y > high + 6 ? y - high - thick : Math.min(y + h + thick, pen.canvas.height - high);
  pen.fillStyle = mark.is_locked ? MARK : "#0b0c0eb0";
  pen.beginPath();
  pen.roundRect(left, top, wide, high, high / 4);
  pen.fill();
  pen.fillStyle = mark.is_locked ? "#1d2a3a" : "#fff";
  pen.textBaseline = "middle";
  pen.fillText(text, left + size * 0.4, top + high / 2);
}

// ── the robot's own screen in the 3-D view: the caller's face, or a plain one

const screen = Object.assign(document.createElement("canvas"), { width: 192, height: 128 });
const screenPen = screen.getContext("2d", { alpha: false });

function drawFace(source, mark, ratio) {
  // Fill the screen with the caller, the face in the middle if there is one.
  const aspect = screen.width / screen.height;
  const high = Math.min(source.height, mark ? mark.height_px * ratio * 2.2 : source.height, source.width / aspect), wide = high * aspect;
  const x = mark ? (mark.x_px + mark.width_px / 2) * ratio : source.width / 2, y = mark ? (mark.y_px + mark.height_px / 2) * ratio : source.height / 2;
  const clamp = (value, most) => Math.max(0, Math.min(most, value));
  screenPen.drawImage(source, clamp(x - wide / 2, source.width - wide), clamp(y - high / 2, source.height - high), wide, high, 0, 0, screen.width, screen.height);
  view?.set({ face: screen });
}

function drawPlainFace(isBlinking) {
  const pen = screenPen;
  pen.fillStyle = page.isStopped ? "#e8a39d" : MARK;
  pen.fillRect(0, 0, screen.width, screen.height);
  pen.fillStyle = pen.strokeStyle = "#1d2a3a";
  for (const x of [64, 128]) {
    pen.beginPath();
    pen.ellipse(x, 52, 11, isBlinking ? 2 : 13, 0, 0, 7);
    pen.fill();
  }
  pen.lineWidth = 7;
  pen.lineCap = "round";
  pen.beginPath();
  if (page.isStopped) { pen.moveTo(72, 92); pen.lineTo(120, 92); } else pen.arc(96, 68, 34, 0.7, Math.PI - 0.7);
  pen.stroke();
  view?.set({ face: screen });
}

let view = null;
try {
  view = new View($("view"), $("names"), screen);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const adapt = () => view.set({ isDark: darkness.matches });
  darkness.addEventListener("change", adapt);
  adapt();
} catch (error) {
  note(error.message);
}

function note(text) {
  $("view-note").textContent = text;
  $("view-note").hidden = !text;
}

// ── what is said

// Add to the chat, and stay at its end if the reader was there.
function addToChat(add) {
  const lines = $("lines"), isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 60;
  add();
  while (lines.children.length > MAX_LINES) lines.firstElementChild.remove();
  if (isAtEnd) lines.scrollTop = lines.scrollHeight;
}

function addLine(line, kind) {
  line.classList.add(kind);
  addToChat(() => $("lines").append(line));
  return line;
}

function textLine(text, kind) {
  const line = document.createElement("li");
  line.textContent = text;
  return addLine(line, kind);
}

function heard({ text, source }) {
  const line = textLine(text, "order");
  if (source === "page") return;
  const from = document.createElement("small");
  from.textContent = { cli: "typed in a terminal", mqtt: "from MQTT", sim: "from the simulator" }[source] || source;
  line.append(from);
}

// "plan" lists steps as they are decided, "step" says that one was carried out and how it went ("nod 2: nodded"),
// and the model's whole plan may come last: every step is shown once.
function told({ order_id, kind, text, last }) {
  if (kind === "plan") addPlan(planCard(order_id), text);
  else if (kind === "step") tick(planCard(order_id), text);
  else if (text) textLine(text, kind === "error" ? "error" : "answer");
  if (!last) return;
  for (const step of page.plans.get(order_id)?.querySelectorAll("span:not(.done)") || [])
    step.classList.add(kind === "plan" ? "done" : "dropped");
  page.plans.delete(order_id);
}

function planCard(id) {
  if (!page.plans.has(id)) page.plans.set(id, addLine(document.createElement("li"), "plan"));
  return page.plans.get(id);
}

function addPlan(card, text) {
  const known = [...card.children].map((step) => step.dataset.step);
  for (const step of text.match(/(?:"[^"]*"|[^";])+/g) || []) { // a semicolon inside quotes belongs to the words
    if (known[0] === step.trim()) known.shift();
    else addStep(card, step.trim());
  }
}

function addStep(card, name) {
  const step = document.createElement("span");
  step.dataset.step = step.textContent = name;
  addToChat(() => card.append(step));
  return step;
}

function tick(card, text) {
  const open = [...card.children].filter((step) => !step.classList.contains("done"));
  const name = text.match(/^(?:"[^"]*"|[^":])*/)[0].trim();
  const step = open.find(({ dataset }) => dataset.step === name) || addStep(card, name);
  step.classList.add("done");
  const outcome = text.slice(name.length).replace(/^:\s*/, "");
  if (!outcome) return;
  const small = document.createElement("small");
  small.textContent = ` ${outcome}`;
  addToChat(() => step.append(small));
}

// ── what is going on

function showState({ doing, planner, health, lock }) {
  setText("what", doing ? doing.what : "waiting for the robot …");
  setText("why", doing ? doing.why : "");
  showPlanner(planner);
  showHealth(health);
  setText("lock", lock ? lock.reason : "");
  $("lock").classList.toggle("locked", lock?.phase === "locked" && lock.face !== null);
}

function setText(id, text) {
  const place = $(id);
  if (place.textContent !== text) place.textContent = text; // an unchanged text must not be read out again
}

function showPlanner(planner) {
  const state = planner?.state || "off", isOnTheWay = state === "preparing" || state === "loading";
  const words = { off: "off", preparing: "being prepared", loading: "loading", ready: "ready", failed: "failed" }[state];
  const share = isOnTheWay && planner.progress > 0 ? ` ${Math.round(planner.progress * 100)} %` : "";
  setText("planner-text", `planner: ${words}${share}${planner?.note && state !== "ready" ? ` – ${planner.note}` : ""}`);
  $("planner").title = planner?.note || "";
  $("planner-bar").hidden = !isOnTheWay;
  if (isOnTheWay && planner.progress > 0) $("planner-bar").value = planner.progress;
  else $("planner-bar").removeAttribute("value");
}

function showHealth(health) {
  if (!health) return;
  const late = health.tick_late_s >= 0.005 ? ` · ticks ${Math.round(health.tick_late_s * 1000)} ms late` : "";
  setText("health", `${health.link} · ${health.camera}${health.is_camera_up ? `, ${Math.round(health.frames_hz)} pictures/s` : ""}${late}`);
  $("health").classList.toggle("bad", !health.is_link_up || !health.is_camera_up);
  page.camera = health.is_camera_up ? "" : health.camera;
  if (health.is_stopped !== page.isStopped) {
    page.isStopped = health.is_stopped;
    view?.set({ isStopped: page.isStopped });
    if (!isInCall()) drawPlainFace(false);
  }
  showStop(health.is_stopped, `Stopped${health.stopped_by ? ` by ${WHO[health.stopped_by] || health.stopped_by}` : ""}.`);
}

function showStop(isStopped, text) {
  $("stopped").hidden = $("release").hidden = !isStopped;
  if (isStopped) setText("stopped-by", text);
  $("stop").classList.toggle("latched", isStopped);
  $("stop").firstElementChild.textContent = isStopped ? "STOPPED" : "STOP";
}

async function stop() {
  $("stop").firstElementChild.textContent = "STOPPING";
  if (send({ type: "stop" })) return;
  try { // the websocket is gone; the server may still be there
    const answer = await fetch("/api/stop", { method: "POST" });
    if (!answer.ok) throw new Error();
  } catch {
    $("stop").firstElementChild.textContent = "STOP";
    textLine("The robot cannot be reached, so the stop did not arrive. It holds still by itself when its program is gone; if it moves, unplug it.", "error");
  }
}

const isInCall = () => performance.now() - page.lastCall < STALE_MS || (bar.tape && page.lastCall > 0); // a held recording stays

// ── the link

function send(message) {
  if (page.socket?.readyState !== WebSocket.OPEN) return false;
  page.socket.send(JSON.stringify(message));
  return true;
}

function setOnline(isOnline, text) {
  page.isOnline = isOnline;
  document.body.classList.toggle("offline", !isOnline);
  setText("connection", text);
}

function connect() {
  const socket = page.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    page.lastWord = performance.now();
    if (data instanceof ArrayBuffer) showPicture(data).catch(() => {}); // a torn picture: the next one comes
    else take(JSON.parse(data));
  };
  socket.onclose = ({ code, reason }) => {
    if (page.socket !== socket) return;
    page.socket = null;
    const wait = RETRY_MS[Math.min(page.tries++, RETRY_MS.length - 1)];
    setOnline(false, "no connection");
    const why = code === 1008 || code === 1009 ? ` (${reason || "a message was too long"})` : "";
    setText("no-picture", `no connection${why}; trying again every ${wait / 1000} s`);
    setTimeout(connect, wait);
  };
}

function take(message) {
  switch (message.type) {
    case "hello": return begin(message);
    case "state": return showState(message);
    case "pose": return view?.set({ joints: message.joints_rad, people: message.people });
    case "order": return heard(message);
    case "reply": return told(message);
    case "clock": return bar.show(message);
    case "error": return textLine(message.text, "error");
  }
}

function begin({ scene, history, max_text, tape }) {
  bar.load(tape);
  page.tries = 0;
  page.maxText = max_text;
  setOnline(true, "connected");
  setText("no-picture", "waiting for the first picture …");
  $("lines").replaceChildren();
  page.plans.clear();
  for (const line of history) take(line);
  $("lines").scrollTop = $("lines").scrollHeight;
  $("body-tag").hidden = !scene.is_body_simulated;
  $("camera-tag").hidden = !scene.is_camera_simulated;
  if (!view) return;
  view.set({ scene });
  showBody().catch((error) => note(error.message));
  $("nearer").hidden = false;
  if (!scene.blocks.length && $("nearer").getAttribute("aria-pressed") !== "true") $("nearer").click(); // nothing else to see
  note(scene.blocks.length ? "" : "the room and the people in it are not known here: this is the real robot's own pose");
}

async function showBody() {
  const answer = await fetch("/api/body.urdf");
  if (!answer.ok) throw new Error("the robot's URDF did not come; reload the page");
  view.set({ robot: parse(await answer.text()) });
}

// ── hands

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  if (text.length > page.maxText) {
    textLine(`That is ${text.length} characters and ${page.maxText} is the most; say it shorter.`, "error");
  } else if (send({ type: "say", text })) $("text").value = "";
  else textLine("Not sent: there is no connection to the robot. It stays in the box.", "error");
});
$("nearer").addEventListener("click", ({ currentTarget }) => {
  const isNear = currentTarget.getAttribute("aria-pressed") !== "true";
  currentTarget.setAttribute("aria-pressed", isNear);
  view.show(isNear ? "robot" : "room");
});
// The finger's touch stops, not its lifting; a click without a pointer is the keyboard's or a screen reader's.
$("stop").addEventListener("pointerdown", stop);
$("stop").addEventListener("click", (event) => { if (event.detail === 0) stop(); });
$("release").addEventListener("click", () => {
  if (!send({ type: "release" })) textLine("Not released: there is no connection to the robot.", "error");
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.repeat && !bar.tape) { event.preventDefault(); stop(); }
});

const bar = new TapeBar(send);

// ── what moves by itself

const eyes = { isShut: false, change: 0 };
function frame(now) {
  if (!isInCall() && now > eyes.change) {
    eyes.isShut = eyes.change > 0 && !eyes.isShut;
    eyes.change = now + (eyes.isShut ? 140 : 2600);
    drawPlainFace(eyes.isShut);
  }
  view?.draw(now);
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

setInterval(() => {
  const now = performance.now(), isBlind = page.isOnline && !bar.tape && now - page.lastPicture > STALE_MS;
  if (isBlind && page.pictures) setText("no-picture", page.camera || "the camera gives no new picture");
  document.body.classList.toggle("blind", isBlind);
  $("call").hidden = !isInCall();
  if (page.isOnline && now - page.lastWord > SILENCE_MS && !document.hidden) page.socket?.close();
}, 500);

connect();
