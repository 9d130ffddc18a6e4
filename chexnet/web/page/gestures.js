/* Mouse, touch and keys of the viewer. */

const WINDOW_SPEED = 1 / 400;
const PAN_STEP = 40;
const WINDOW_STEP = 0.02;
const ZOOM_STEP = 1.25;

/** Connect the gestures of a viewer. `mode()` returns what dragging does, "pan" or "window"; `travel(step)` shows the
 * previous or next image. */
export function addGestures(viewer, mode, travel) {
  const { canvas } = viewer;
  const pointers = new Map();

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, window: event.button === 2 });
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { ...before, x: event.clientX, y: event.clientY };
    if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      pinch(viewer, before, now, other);
    } else if (before.window || (mode() === "window" && event.buttons !== 4)) {
      viewer.moveWindow((now.y - before.y) * -WINDOW_SPEED, (now.x - before.x) * WINDOW_SPEED);
    } else {
      viewer.panBy(now.x - before.x, now.y - before.y);
    }
    pointers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => viewer.fit());
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
      viewer.zoomBy(Math.exp(-Math.max(-200, Math.min(200, lines)) / 400), event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const action = keyAction(viewer, event, travel);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Move and zoom so that the image stays under two fingers, of which one moved. */
function pinch(viewer, before, now, other) {
  const box = viewer.canvas.getBoundingClientRect();
  const distance = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
  viewer.panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
  viewer.zoomBy(distance(now) / distance(before), (now.x + other.x) / 2 - box.left, (now.y + other.y) / 2 - box.top);
}

/** Return the action of a key in the viewer, if it has one. */
function keyAction(viewer, { key, shiftKey }, travel) {
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (directions[key]) {
    const [x, y] = directions[key];
    if (shiftKey) return () => viewer.moveWindow(-y * WINDOW_STEP, x * WINDOW_STEP);
    return () => viewer.panBy(-x * PAN_STEP, -y * PAN_STEP);
  }
  return {
    "+": () => viewer.zoomBy(ZOOM_STEP),
    "=": () => viewer.zoomBy(ZOOM_STEP),
    "-": () => viewer.zoomBy(1 / ZOOM_STEP),
    0: () => viewer.fit(),
    1: () => viewer.actualSize(),
    PageUp: () => travel(-1),
    PageDown: () => travel(1),
  }[key];
}
