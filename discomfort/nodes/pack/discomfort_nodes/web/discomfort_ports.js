// Shows what a DiscomfortPort is for: a color for its role, its unique_id in the title, a mark on names that clash.
// All of it is drawn only. Nothing is added to what is saved, and a color or a title that a user chose stays.
import { app } from "../../scripts/app.js";

const NAME = "discomfort.ports";
const PORT = "DiscomfortPort";
const COLORS = {
  input: { color: "#1f4a2e", bgcolor: "#2b5f3d" },
  output: { color: "#1f3a5f", bgcolor: "#2b4d7a" },
  passthru: { color: "#3d3d3d", bgcolor: "#4a4a4a" },
  unconnected: { color: "#5a4a1a", bgcolor: "#6b5a26" },
};
const WARNING = "#ffb347";
const MILLISECONDS = 250; // how long a look at all ports is good for

function role(node) {
  const isFed = node.inputs?.find((slot) => slot.name === "input_data")?.link != null;
  const feeds = (node.outputs?.[0]?.links?.length ?? 0) > 0;
  if (isFed) return feeds ? "passthru" : "output";
  return feeds ? "input" : "unconnected";
}

function uniqueId(node) {
  const value = node.widgets?.find((widget) => widget.name === "unique_id")?.value;
  return typeof value === "string" ? value.trim() : "";
}

function* ports(graph, seen = new Set()) {
  if (!graph || seen.has(graph)) return;
  seen.add(graph);
  for (const node of graph.nodes ?? graph._nodes ?? []) {
    if (node.type === PORT && node.mode !== 2 && node.mode !== 4) yield node; // neither muted nor bypassed
    else if (node.subgraph) yield* ports(node.subgraph, seen);
  }
}

// Several INPUT ports of one name all get the value; of several OUTPUT ports one value would be lost.
function clashes() {
  const outputs = new Map();
  for (const node of ports(app.rootGraph ?? app.graph)) {
    if (role(node) === "output") outputs.set(uniqueId(node), [...(outputs.get(uniqueId(node)) ?? []), node]);
  }
  return outputs;
}

let known = { at: -Infinity, outputs: new Map() };

function problem(node) {
  const id = uniqueId(node);
  if (!id) return "no unique_id";
  if (role(node) !== "output") return "";
  if (performance.now() - known.at > MILLISECONDS) known = { at: performance.now(), outputs: clashes() };
  const same = known.outputs.get(id)?.length ?? 0;
  return same > 1 ? `${same} outputs are called “${id}”` : "";
}

const told = new Set();

// After a change by the user; a workflow that is being loaded is only marked.
function tell(node) {
  if (app.configuringGraph) return;
  setTimeout(() => {
    known.at = -Infinity;
    const text = uniqueId(node) ? problem(node) : "";
    if (!text) told.delete(node);
    else if (!told.has(node)) {
      told.add(node);
      const detail = `${text}: one value would be lost. Rename one of them.`;
      app.extensionManager?.toast?.add({ severity: "warn", summary: "Discomfort", detail, life: 8000 });
    }
    node.setDirtyCanvas?.(true, true);
  });
}

function inherited(prototype, name) {
  for (let each = prototype; each; each = Object.getPrototypeOf(each)) {
    const found = Object.getOwnPropertyDescriptor(each, name);
    if (found) return found;
  }
}

// The frontend's own getter sees the color of the role, so that themes and opacity apply; a user's color goes first.
function tint(prototype, getter, key) {
  const plain = inherited(prototype, getter)?.get;
  if (!plain) return;
  Object.defineProperty(prototype, getter, {
    configurable: true,
    get() {
      const value = this[key] || COLORS[role(this)][key];
      return plain.call(Object.create(this, { [key]: { value } }));
    },
  });
}

function chain(prototype, name, added) {
  const before = prototype[name];
  prototype[name] = function (...given) {
    const result = before?.apply(this, given);
    added.apply(this, given);
    return result;
  };
}

function dress(prototype) {
  tint(prototype, "renderingColor", "color");
  tint(prototype, "renderingBgColor", "bgcolor");
  prototype.getTitle = function () {
    const own = this.title && this.title !== this.constructor.title;
    const kind = role(this);
    const label = own ? this.title : kind === "input" ? "Input" : kind === "output" ? "Output" : "Port";
    return `${label}: ${uniqueId(this) || "?"}`;
  };
  chain(prototype, "onNodeCreated", function () {
    const widget = this.widgets?.find((each) => each.name === "unique_id");
    if (widget) chain(widget, "callback", () => tell(this));
  });
  chain(prototype, "onConnectionsChange", function () {
    tell(this);
  });
  chain(prototype, "onDrawForeground", function (context) {
    const text = this.flags?.collapsed ? "" : problem(this);
    if (!text) return;
    context.save();
    context.font = "12px sans-serif";
    context.fillStyle = WARNING;
    context.fillText(`⚠ ${text}`, 4, this.size[1] + 16);
    context.restore();
  });
}

// A clone in custom_nodes and the pack of an owned server may both bring this file.
if (!app.extensions?.some((extension) => extension.name === NAME)) {
  app.registerExtension({
    name: NAME,
    beforeRegisterNodeDef(nodeType, nodeData) {
      if (nodeData.name === PORT) dress(nodeType.prototype);
    },
  });
}
