// A node pack's frontend half, as packs are: own serialization, a virtual node, inputs that grow, and faults.
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "test.pack",

  async beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name === "PackSerialized") {
      const created = nodeType.prototype.onNodeCreated;
      nodeType.prototype.onNodeCreated = function () {
        created?.apply(this, arguments);
        const text = this.widgets.find((w) => w.name === "text");
        text.serializeValue = async (node, index) => `${text.value}|${index}|${node.id}`;
      };
    }
    if (nodeData.name === "PackGrowing") {
      nodeType.prototype.onConnectionsChange = function (side, slot, connected) {
        if (side !== 1) return;
        const free = this.inputs.filter((i) => i.name.startsWith("item_") && i.link == null);
        if (connected && free.length === 0) this.addInput(`item_${this.inputs.length}`, "IMAGE");
      };
    }
    if (nodeData.name === "PackFaulty") {
      nodeType.prototype.onConfigure = function (data) {
        if (data.title === "throw on load") throw new Error("the pack cannot load this");
        if (data.title === "hang on load") for (;;);
        if (data.title === "hang once" && !localStorage.getItem("hung")) { localStorage.setItem("hung", "1"); for (;;); }
        if (data.title === "random on load") this.widgets[0].value = String(Math.random());
        if (data.title === "run code") (0, eval)(data.properties.code);
      };
      const created = nodeType.prototype.onNodeCreated;
      nodeType.prototype.onNodeCreated = function () {
        created?.apply(this, arguments);
        const text = this.widgets.find((w) => w.name === "text");
        text.serializeValue = async () => {
          if (this.title === "throw on save") throw new Error("the pack cannot save this");
          if (this.title === "count") return `${(window.count = (window.count ?? 0) + 1)}`;
          return text.value;
        };
      };
    }
  },

  registerCustomNodes() {
    class PackVirtual extends window.LGraphNode {
      constructor(title) {
        super(title);
        this.addInput("in", "*");
        this.addOutput("out", "*");
        this.isVirtualNode = true;
        this.serialize_widgets = true;
      }
    }
    window.LiteGraph.registerNodeType("PackVirtual", Object.assign(PackVirtual, { title: "PackVirtual", category: "pack" }));
  },
});
