// Runs in the frontend's page before any of its scripts. Nothing here imitates the frontend: it calls
// app.loadGraphData and app.graphToPrompt, checks whether they worked, and clears what they left in the page.
(() => {
  "use strict";
  // Workflows and custom nodes run scripts in this page, so keep the original functions that the result depends on.
  const { parse, stringify } = JSON;
  const state = { types: null, working: false, asked: new Set() };

  // Paths that a conversion requests from the server, noted when a request starts, since it may outlast the conversion.
  const note = (what) => {
    try {
      const { origin, pathname } = new URL(what?.url ?? what, location.href);
      if (state.working && origin === location.origin) state.asked.add(pathname);
    } catch {
      // Not a valid address: the request itself will fail.
    }
  };
  const noting = (original, index) =>
    new Proxy(original, {
      apply(target, self, args) {
        note(args[index]);
        return Reflect.apply(target, self, args);
      },
    });
  window.fetch = noting(window.fetch, 0);
  XMLHttpRequest.prototype.open = noting(XMLHttpRequest.prototype.open, 1);

  const workspace = () => window.app?.extensionManager;
  const rootGraph = (app) => app.rootGraph ?? app.graph;
  const describe = (error) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(0, 2000);

  // app.setup() ends before the page assigns window.graph (in 1.27.10 and 1.58.1). Newer versions then load a first
  // graph and show the spinner until that is done.
  const ready = () => {
    const { app, graph, LiteGraph } = window;
    if (!app || !graph || !LiteGraph || !rootGraph(app) || workspace()?.spinner) return false;
    return Object.values(LiteGraph.registered_node_types).some((type) => type.nodeData !== undefined);
  };

  const status = () => ({
    ready: ready(),
    app: Boolean(window.app),
    graph: Boolean(window.graph),
    spinner: workspace()?.spinner ?? null,
    types: Object.keys(window.LiteGraph?.registered_node_types ?? {}).length,
    limit: window.LiteGraph?.MAX_NUMBER_OF_NODES ?? null,
    version: window.__COMFYUI_FRONTEND_VERSION__ ?? null,
    url: location.pathname,
  });

  // Types that a workflow defines (subgraphs, group nodes) stay registered, but the next workflow must not find them.
  const rememberTypes = () => {
    state.types = new Map(Object.entries(window.LiteGraph.registered_node_types));
  };
  const restoreTypes = () => {
    const registered = window.LiteGraph.registered_node_types;
    for (const name of Object.keys(registered)) {
      if (!state.types.has(name)) delete registered[name];
      else if (registered[name] !== state.types.get(name)) registered[name] = state.types.get(name);
    }
  };

  // Each loadGraphData opens another tab with a temporary workflow and its undo history.
  const closeTabs = async () => {
    const store = workspace()?.workflow;
    if (!store?.closeWorkflow) return;
    for (const workflow of [...(store.openWorkflows ?? [])]) {
      await store.closeWorkflow(workflow);
    }
    store.activeWorkflow = null;
  };

  const reset = async (app) => {
    await closeTabs();
    app.clean();
    restoreTypes();
  };

  const watchConfigure = (graph) => {
    const watch = { calls: 0, error: null };
    const original = graph.configure;
    graph.configure = function (...args) {
      watch.calls += 1;
      try {
        return original.apply(this, args);
      } catch (error) {
        watch.error = error;
        throw error;
      }
    };
    watch.stop = () => delete graph.configure;
    return watch;
  };

  // Since some version between 1.28 and 1.48, a load looks on the network for the files of models, and may show dialogs
  // about missing ones; these options, which 1.27.10 ignores, prevent that. No prompt depends on it.
  const QUIET = Object.freeze({ skipAssetScans: true, deferWarnings: true, silentAssetErrors: true });
  const load = (app, workflow) => app.loadGraphData(workflow, true, true, null, { ...QUIET });

  // The script that threw: the first one of a pack among the callers, or else the first one.
  const scriptOf = (error) => {
    const found = String(error?.stack ?? "").matchAll(/https?:\/\/[^\s/]+\/([^\s?)]+?)(?:\?[^\s:)]*)?(:\d+:\d+)/g);
    const scripts = Array.from(found, ([, path, place]) => path + place);
    return scripts.find((script) => script.startsWith("extensions/")) ?? scripts[0] ?? null;
  };
  const failed = (stage, error) => ({ stage, error: describe(error), script: scriptOf(error) });

  const run = async (app, workflow, loaded = () => undefined) => {
    const graph = rootGraph(app);
    const watch = watchConfigure(graph);
    try {
      await load(app, workflow);
    } catch (error) {
      return failed("load", error);
    } finally {
      watch.stop();
    }
    // If configure() throws, the frontend shows a dialog and continues with half a graph.
    if (watch.error) return failed("configure", watch.error);
    if (watch.calls !== 1) return { stage: "race", error: `the graph was configured ${watch.calls} times` };
    const nodes = graph.nodes.length;
    loaded(graph);
    let prompt;
    try {
      prompt = await app.graphToPrompt();
    } catch (error) {
      return failed("serialize", error);
    }
    return { output: prompt.output, nodes };
  };

  // Calls of a function, noting the node that it works on until it has succeeded.
  const noted = (original, watch, nodeOf) =>
    function (...args) {
      const outer = watch.node;
      watch.node = nodeOf(this, args);
      const result = Reflect.apply(original, this, args);
      const done = (value) => {
        watch.node = outer;
        return value;
      };
      return typeof result?.then === "function" ? result.then(done) : done(result);
    };

  const watchSaving = (graph, watch) => {
    for (const node of graph.nodes) {
      for (const target of [node, ...(node.widgets ?? [])]) {
        for (const name of ["applyToGraph", "serializeValue"]) {
          if (typeof target[name] === "function") target[name] = noted(target[name], watch, () => node);
        }
      }
      if (node.subgraph) watchSaving(node.subgraph, watch);
    }
  };

  // The node that a failure is about. An error does not name it, so what failed is done once more with every node
  // watched. That is not done the first time, since scripts of packs look at their callers and would find one more.
  const failingNode = async (app, text, failure) => {
    const { LiteGraph } = window;
    const prototype = LiteGraph.LGraphNode?.prototype;
    if (!prototype) return null;
    const watch = { node: null };
    const { configure } = prototype;
    const { createNode } = LiteGraph;
    prototype.configure = noted(configure, watch, (node, [info]) => info ?? node);
    LiteGraph.createNode = noted(createNode, watch, (_, [type]) => ({ type }));
    try {
      const again = await run(app, parse(text), (graph) => watchSaving(graph, watch));
      const node = again.error === failure.error ? watch.node : null;
      return node && { id: node.id == null ? null : String(node.id), type: String(node.type ?? "") };
    } finally {
      prototype.configure = configure;
      LiteGraph.createNode = createNode;
    }
  };

  // The type of a prompt's node in the frontend's own graph, whose ids differ from the workflow's if those are
  // duplicate or missing. "12:5" is node 5 in the subgraph of node 12.
  const typeOf = (id) => {
    let node = { subgraph: rootGraph(window.app) };
    for (const step of id.split(":")) node = node?.subgraph?.getNodeById(step);
    return node?.type || node?.last_serialization?.type || null;
  };

  // A node of unknown type has no class and no title. JSON would drop undefined keys; null keeps them.
  const unknownTypes = (result) => {
    const unknown = Object.entries(result.output ?? {}).filter(([, node]) => typeof node.class_type !== "string");
    for (const [, node] of unknown) {
      node.class_type = null;
      if (node._meta) node._meta.title ??= null;
    }
    return unknown.map(([id]) => [id, typeOf(id)]);
  };

  const convert = async (text) => {
    const { app } = window;
    if (state.working) return stringify({ stage: "busy", error: "a conversion is running in this page" });
    state.working = true;
    state.last = null;
    state.asked.clear();
    let made = false;
    try {
      if (state.types === null) rememberTypes();
      const result = await run(app, parse(text));
      if (result.output) state.last = { text, output: stringify(result.output) };
      else if (result.script !== undefined) result.node = await failingNode(app, text, result);
      result.unknown = unknownTypes(result);
      result.asked = [...state.asked];
      result.heap = performance.memory?.usedJSHeapSize ?? 0;
      made = Boolean(result.output);
      return stringify(result);
    } finally {
      try {
        await reset(app);
      } catch (error) {
        // A workflow that failed may have broken the graph, which then cannot be cleared. Its own failure is what is
        // told, and a page with a failure is not used again.
        if (made) throw error;
      }
      state.working = false;
    }
  };

  // Runs work with different random numbers and a different date.
  const elsewhere = async (random, work) => {
    const { random: realRandom } = Math;
    const RealDate = Date;
    const shift = 34_567_890_123; // 400 days and some hours, minutes, seconds
    class OtherDate extends RealDate {
      constructor(...args) {
        if (args.length) super(...args);
        else super(RealDate.now() + shift);
      }
      static now() {
        return RealDate.now() + shift;
      }
    }
    Math.random = random;
    window.Date = OtherDate;
    try {
      return await work();
    } finally {
      Math.random = realRandom;
      window.Date = RealDate;
    }
  };

  const generator = (seed) => () => {
    seed = (seed * 1664525 + 1013904223) % 4294967296;
    return seed / 4294967296;
  };

  // Whether the latest conversion gives the same result when repeated, at another time and with other random numbers:
  // at both ends of the random range for values drawn during serialization, and with everything loaded again.
  const stable = async () => {
    const { app } = window;
    const last = state.last;
    if (!last || state.working) return false;
    state.working = true;
    const again = async () => {
      const result = await run(app, parse(last.text));
      return result.output && stringify(result.output) === last.output;
    };
    const same = async () => stringify((await app.graphToPrompt()).output) === last.output;
    try {
      if (!(await elsewhere(generator(12345), again))) return false;
      return (await elsewhere(() => 0, same)) && (await elsewhere(() => 1 - Number.EPSILON, same));
    } catch {
      return false;
    } finally {
      await reset(app);
      state.working = false;
    }
  };

  Object.defineProperty(window, "__discomfort", { value: Object.freeze({ ready, status, convert, stable }) });
})();
