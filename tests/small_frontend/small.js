// As much of ComfyUI's frontend as a conversion calls. It loads in a tenth of the time, so that a sweep can afford a
// fresh page for every place; what it makes of a workflow is right for widgets and links, and for nothing else.
const WIDGETS = new Set(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"]);
const NOTES = new Set(["Note", "MarkdownNote"]);

class Graph {
  nodes = [];
  links = new Map();

  configure({ nodes = [], links = [] }) {
    this.nodes = nodes;
    this.links = new Map(links.map((link) => [link[0], link]));
  }

  getNodeById(id) {
    return this.nodes.find((node) => String(node.id) === String(id));
  }
}

const graph = new Graph();
const registered_node_types = {};

const inputsOf = (node, { input = {} }) => {
  const { required = {}, optional = {} } = input;
  const values = [...(node.widgets_values ?? [])];
  const inputs = {};
  for (const [name, [kind, options = {}]] of Object.entries({ ...required, ...optional })) {
    const isWidget = Array.isArray(kind) || WIDGETS.has(kind);
    const value = isWidget ? values.shift() : undefined;
    // What becomes of a seed after each run is a widget of its own.
    if (kind === "INT" && (options.control_after_generate ?? ["seed", "noise_seed"].includes(name))) values.shift();
    const link = graph.links.get(node.inputs?.find((input) => input.name === name)?.link);
    if (link) inputs[name] = [String(link[1]), link[2]];
    else if (isWidget) inputs[name] = value ?? options.default;
  }
  return inputs;
};

const entryOf = (node, definition) => ({
  class_type: definition && node.type,
  inputs: definition ? inputsOf(node, definition) : {},
  _meta: { title: node.title ?? definition?.display_name ?? node.type },
});

const app = {
  rootGraph: graph,
  loadGraphData: async (workflow) => graph.configure(workflow),
  clean: () => graph.configure({}),
  graphToPrompt: async () => ({
    output: Object.fromEntries(
      graph.nodes
        .filter((node) => !NOTES.has(node.type))
        .map((node) => [String(node.id), entryOf(node, registered_node_types[node.type]?.nodeData)]),
    ),
  }),
};

const definitions = await (await fetch("/api/object_info")).json();
for (const [name, nodeData] of Object.entries(definitions)) registered_node_types[name] = { nodeData };
Object.assign(window, {
  app,
  graph,
  LiteGraph: { registered_node_types, MAX_NUMBER_OF_NODES: 10000 },
  __COMFYUI_FRONTEND_VERSION__: "small",
});
