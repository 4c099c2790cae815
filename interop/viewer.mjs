// Test the page in a real Chromium, in a host made of the official AppBridge, under the specification's default CSP.
// The argument is {url, chromium, report, picture?} as JSON. Prints a line for each check; exits 1 if one failed.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { AppBridge } from "@modelcontextprotocol/ext-apps/app-bridge";
import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";

const setup = JSON.parse(process.argv[2]);
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const VIEWER = "ui://sigmamind/viewer.html";
const MATRIX = "io.github.sigmamind-mcp/matrix";
const AGENT = "agent_SPIlVscbB0kkXBvZ";
const BATCH = "batch_CBeIZMjFgNZJBIwX";
const WORSE = "agent_mJzLaPEo425lieb9";
const COMPARED = { agentId: WORSE, baseBatchId: "batch_AytoHxJqRKyAXFzL", candidateBatchId: "batch_0ys2AIVkkpWdoC7P" };
const DIAGNOSE = { tool: "diagnose_batch_run", args: { agentId: AGENT, batchId: BATCH } };
const WIDTHS = [320, 700, 1200];
// Only these axe rules depend on the theme or the width; the others run once for each page.
const LAYOUT_RULES = ["color-contrast", "target-size"];
const ALL = { serverTools: {}, updateModelContext: { text: {} } };
const CSP = [
  "default-src 'none'", "script-src 'self' 'unsafe-inline'", "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:", "media-src 'self' data:", "connect-src 'none'", "object-src 'none'",
].join("; ");
// As Claude sends them: pairs of colours that need the page's color-scheme.
const STYLES = { variables: { "--color-text-primary": "light-dark(#141413, #faf9f5)", "--font-sans": "sans-serif" } };
const BACKGROUND = { light: "#ffffff", dark: "#1f1e1d" };

const HOST = `<!doctype html><html lang="en"><title>Host</title><body style="margin:0"><div id="above"></div>
<iframe id="outer" style="border:0;width:100%;height:500px" sandbox="allow-scripts allow-same-origin"></iframe>
<script>
const outer = document.getElementById("outer");
outer.src = location.origin.replace("127.0.0.1", "localhost") + "/proxy";
const toView = (message) => outer.contentWindow.postMessage(message, "*");
// A check with hundreds of calls answers them here, without the bridge.
let answer;
addEventListener("message", ({ data }) => {
  const result = answer?.(data);
  if (result) toView({ jsonrpc: "2.0", id: data.id, result });
  else fromView(data);
});
</script>`;
const PROXY = `<!doctype html><html lang="en"><title>Proxy</title><body style="margin:0">
<iframe id="inner" style="border:0;width:100%;height:500px" sandbox="allow-scripts" src="/view"></iframe>
<script>
const inner = document.getElementById("inner").contentWindow;
addEventListener("message", ({ source, data }) => (source === inner ? parent : inner).postMessage(data, "*"));
</script>`;

// In every frame, a timer of a second or more ends only in passTime.
function fakeTimers() {
  const timers = [];
  const { setTimeout } = window;
  let now = 0;
  window.setTimeout = (run, wait = 0) => (wait < 1000 ? setTimeout(run, wait) : timers.push({ run, at: now + wait }));
  window.passTime = async (seconds) => {
    const end = now + seconds * 1000;
    const isOver = () => /stopped|chat/.test(document.getElementById("status").textContent);
    for (;;) {
      timers.sort((one, other) => one.at - other.at);
      if (!(timers[0]?.at <= end)) break;
      const { run, at } = timers.shift();
      now = at;
      run();
      // The next pause begins when the answer is shown.
      while (!timers.length && !isOver()) await new Promise((resolve) => setTimeout(resolve));
    }
    now = end;
  };
}

let isFailed = false;

async function check(name, run) {
  const started = performance.now();
  let words;
  try {
    words = (await run()) ?? "ok";
  } catch (error) {
    isFailed = true;
    words = `FAILED\n${error.stack.slice(0, 2000)}`;
  }
  console.log(`${name}: ${words} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
}

async function connect(revision) {
  const client = new Client({ name: "viewer", version: "1" }, revision === "2026-07-28" ? { versionNegotiation: { mode: { pin: revision } } } : {});
  const requestInit = { headers: { "X-API-Key": `viewer-${revision}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL("/mcp", setup.url), { requestInit }));
  return client;
}

function serve(page) {
  const pages = { "/host": HOST, "/proxy": PROXY, "/view": page };
  const server = createServer(({ url }, response) => {
    const policy = url === "/view" ? { "Content-Security-Policy": CSP } : {};
    response.writeHead(pages[url] ? 200 : 404, { "Content-Type": "text/html; charset=utf-8", ...policy });
    response.end(pages[url]);
  });
  return new Promise((resolve) => server.listen(0, () => resolve(server)));
}

class View {
  // One page in one host: what it asked, and what happened that must not happen.
  calls = [];
  contexts = [];
  sizes = [];
  problems = [];

  static async open(browser, origin, { tool, capabilities = ALL, call, toolInfo = true, hasClock = false }) {
    const view = new View();
    view.page = await browser.newPage({ viewport: { width: 700, height: 600 } });
    view.page.on("dialog", (dialog) => view.problems.push(`dialog ${dialog.message()}`) && dialog.dismiss());
    view.page.on("pageerror", (error) => view.problems.push(error.message));
    view.page.on("request", (request) => /\/(host|proxy|view)$/.test(request.url()) || view.problems.push(request.url()));
    view.page.setDefaultTimeout(15000);
    if (hasClock) await view.page.addInitScript(fakeTimers);
    const hostContext = { theme: "light", styles: STYLES, ...(toolInfo && { toolInfo: { tool: { name: tool, inputSchema: { type: "object" } } } }) };
    const bridge = new AppBridge(null, { name: "host", version: "1" }, capabilities, { hostContext });
    view.bridge = bridge;
    view.context = hostContext;
    bridge.onsizechange = ({ height }) => view.sizes.push(height);
    bridge.onupdatemodelcontext = async ({ content }) => view.contexts.push(content[0].text) && {};
    view.call = call;
    if (call) bridge.oncalltool = async (params) => view.calls.push(params.name) && view.call(params);
    const isReady = new Promise((resolve) => { bridge.oninitialized = resolve; });
    const transport = {
      start: async () => {},
      close: async () => {},
      send: (message) => view.page.evaluate((each) => toView(each), message),
    };
    await view.page.exposeFunction("fromView", (message) => transport.onmessage(message));
    await bridge.connect(transport);
    await view.page.goto(`${origin}/host`);
    await isReady;
    view.frame = view.page.frames().find((frame) => frame.url().endsWith("/view"));
    return view;
  }

  async deliver(args, result) {
    await this.bridge.sendToolInput({ arguments: args });
    if (result) await this.bridge.sendToolResult(result);
  }

  locator(selector, options) {
    return this.frame.locator(selector, options);
  }

  passTime(seconds) {
    return this.frame.evaluate((each) => passTime(each), seconds);
  }

  // Look at the loaded page in both themes and all widths.
  async inspect() {
    await this.frame.evaluate(AXE);
    let runOnly;
    for (const theme of ["light", "dark"]) {
      this.context = { ...this.context, theme };
      this.bridge.setHostContext(this.context);
      await this.page.evaluate((colour) => { document.body.style.background = colour; }, BACKGROUND[theme]);
      await this.frame.waitForFunction((wanted) => document.querySelector("main").style.colorScheme === wanted, theme);
      for (const width of WIDTHS) {
        await this.page.setViewportSize({ width, height: 600 });
        const seen = await this.frame.evaluate(async ({ colour, rules }) => {
          // axe cannot see the host's background through the frame.
          document.body.style.background = colour;
          const { violations } = await axe.run(document, { iframes: false, preload: false, resultTypes: ["violations"], ...rules });
          return {
            violations: violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`),
            isTooWide: document.documentElement.scrollWidth > innerWidth,
          };
        }, { colour: BACKGROUND[theme], rules: runOnly && { runOnly } });
        runOnly = LAYOUT_RULES;
        assert.deepEqual(seen.violations, [], `${theme} ${width}`);
        assert.equal(seen.isTooWide, false, `${theme}: wider than ${width}`);
      }
    }
  }

  async close() {
    assert.deepEqual(await this.bridge.teardownResource({}), {});
    assert.ok(Math.max(0, ...this.sizes) <= 500, `height ${Math.max(...this.sizes)}`);
    assert.deepEqual(this.problems, []);
    await this.page.close();
  }
}

const only = (result, ...names) => Object.fromEntries(names.map((name) => [name, result[name]]));

// Each host condition opens a view, and checks what a person sees.
function conditions(browser, origin, client) {
  const forward = ({ name, arguments: args }) => client.callTool({ name, arguments: args });
  const open = (options) => View.open(browser, origin, { call: forward, ...options });
  const diagnose = () => client.callTool({ name: DIAGNOSE.tool, arguments: DIAGNOSE.args });

  return {
    "everything delivered": async () => {
      const view = await open(DIAGNOSE);
      await view.deliver(DIAGNOSE.args, await diagnose());
      assert.equal(await view.locator(".cell").count(), 30);
      await view.locator(".cell").first().focus();
      await view.page.keyboard.press("ArrowRight");
      await view.page.keyboard.press("Enter");
      await view.locator("#run li").first().waitFor();
      assert.match(await view.locator("#run h2").innerText(), /attempt 2, (passed|failed)/);
      assert.match(view.contexts[0], /^The user is looking at test run job_\w+ of batch run batch_\w+\.$/);
      await view.inspect();
      assert.deepEqual(view.calls, ["get_test_run"]);
      assert.equal(await view.page.evaluate(() => new Promise((resolve) => {
        answer = ({ id, error }) => id === "unknown" && resolve(error?.code) && {};
        toView({ jsonrpc: "2.0", id: "unknown", method: "ui/unknown" });
      })), -32601);
      await view.locator("#run button").click();
      assert.equal(await view.locator(".cell:focus").getAttribute("aria-current"), "true");
      await view.close();
    },
    "only text delivered": async () => {
      for (const [name, args, rows] of [
        [DIAGNOSE.tool, DIAGNOSE.args, 3],
        ["compare_batch_runs", COMPARED, 3],
        ["get_test_case_history", { agentId: WORSE }, 4],
      ]) {
        const view = await open({ tool: name, toolInfo: false });
        await view.deliver(args, only(await client.callTool({ name, arguments: args }), "content"));
        await view.locator("tbody tr").nth(rows - 1).waitFor();
        assert.equal(await view.locator("tbody tr").count(), rows);
        assert.deepEqual(view.calls, [name]);
        // The other views do not depend on the era.
        if (name === DIAGNOSE.tool || client === clients["2026-07-28"]) await view.inspect();
        await view.close();
      }
    },
    "nothing delivered": async () => {
      const view = await open({ tool: DIAGNOSE.tool, capabilities: {}, toolInfo: false, hasClock: true });
      await view.passTime(9.9);
      assert.match(await view.locator("#status").innerText(), /Loading/);
      await view.passTime(0.2);
      assert.match(await view.locator("#status").innerText(), /answer in the chat says all/);
      await view.inspect();
      await view.close();
    },
    "tools/call refused": async () => {
      const view = await open({ ...DIAGNOSE, call: undefined });
      await view.deliver(DIAGNOSE.args, only(await diagnose(), "content", "structuredContent", "_meta"));
      await view.locator(".cell.failed").first().click();
      await view.locator("#run", { hasText: "ask in the chat" }).waitFor();
      await view.inspect();
      await view.close();
    },
    "sent twice, then cancelled": async () => {
      const view = await open(DIAGNOSE);
      const result = await diagnose();
      await view.deliver(DIAGNOSE.args, result);
      await view.locator(".cell.failed").first().click();
      await view.locator("#run li").first().waitFor();
      await view.bridge.sendToolResult(result);
      await view.bridge.sendToolCancelled({ reason: "twice" });
      await view.inspect();
      assert.ok((await view.locator("#run li").count()) > 2);
      assert.equal(await view.locator("#status").innerText(), "");
      await view.close();
      const cancelled = await open(DIAGNOSE);
      await cancelled.bridge.sendToolCancelled({});
      await cancelled.locator("#status", { hasText: "cancelled" }).waitFor();
      await cancelled.close();
    },
    "slow and failing calls": async () => {
      const waiting = [];
      const view = await open({ ...DIAGNOSE, call: (params) => new Promise((resolve) => waiting.push(() => resolve(forward(params)))) });
      await view.deliver(DIAGNOSE.args, await diagnose());
      const [first, second] = [view.locator(".cell.failed").nth(0), view.locator(".cell.failed").nth(1)];
      await first.click();
      await view.locator("#run", { hasText: "Reading" }).waitFor();
      await second.click();
      while (waiting.length < 2) await new Promise(setImmediate);
      waiting[1]();
      await view.locator("#run li").first().waitFor();
      waiting[0]();
      await view.inspect();
      assert.equal(await view.locator("#run h2").innerText(), await second.getAttribute("aria-label"));
      view.call = async () => ({ isError: true, content: [{ type: "text", text: "This batch run has no such test run." }] });
      await first.click();
      await view.locator("#run", { hasText: "no such test run" }).waitFor();
      await view.close();
    },
    "a batch run that has started": async () => {
      const created = { batchId: BATCH, agentId: AGENT, state: "running", testCases: ["tc_1"], expectedAttempts: 30 };
      const view = await open({ tool: "create_batch_run" });
      await view.deliver({ agentId: AGENT, testCases: ["tc_1"] }, { content: [{ type: "text", text: `Started batch run ${created.batchId} of 1 test case.` }] });
      await view.locator(".cell").first().waitFor();
      assert.deepEqual(view.calls, ["get_batch_run", "diagnose_batch_run"]);
      await view.inspect();
      await view.close();
    },
  };
}

// A made batch run: `cases` test cases with `attempts` each.
function makeDiagnosis(cases, attempts, label = (number) => `Case ${number}`) {
  const matrix = Array.from({ length: cases }, (_, each) => [
    `tc_${each}`, label(each), Array.from({ length: attempts }, (_, number) => [`job_${each}x${number}`, "pfu"[number % 3]]),
  ]);
  const decided = cases * attempts;
  const rate = { passed: 0, decided, low: 0, high: 0.1 };
  const structuredContent = { batchId: BATCH, agentId: AGENT, state: "finished", rate, undecided: 0, sections: [], testCases: [] };
  return { content: [{ type: "text", text: "-" }], structuredContent, _meta: { [MATRIX]: matrix } };
}

const PAYLOADS = [
  "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "</section></main><iframe src=//evil.test>", "\u202Etxt.exe \u2066",
  "<svg onload=alert(1)>", "\"><a href=javascript:alert(1)>x</a>", "</script><script>alert(1)</script>", "<style>*{display:none}</style>",
  "`${alert(1)}`", "<object data=//evil.test></object>", "<base href=//evil.test>", "<link rel=stylesheet href=//evil.test>",
];

async function checkPoison(browser, origin) {
  const poison = (number) => `${PAYLOADS[number % PAYLOADS.length]}${PAYLOADS[(number * 7 + 3) % PAYLOADS.length]}`;
  const makeRun = (jobId, number) => {
    const turn = { turn: 1, role: poison(number), content: poison(number + 1), toolName: poison(number + 2), toolCalls: [poison(number + 3)], otherFields: poison(number) };
    const run = { jobId, remarks: poison(number), hint: poison(number + 5), conversation: [turn, { ...turn, turn: poison(4), content: { onclick: "alert(1)" } }] };
    return { content: [], structuredContent: { ...run, notRead: [{ id: poison(number) }], cut: [{ field: poison(number) }] } };
  };
  const view = await View.open(browser, origin, { tool: DIAGNOSE.tool });
  const result = makeDiagnosis(10, 50, poison);
  const jobIds = result._meta[MATRIX].flatMap(([, , runs]) => runs.map(([jobId]) => jobId));
  await view.page.evaluate((runs) => {
    window.contexts = [];
    answer = ({ method, params }) => {
      if (method === "tools/call") return runs[params.arguments.jobId];
      return method === "ui/update-model-context" && contexts.push(params.content[0].text) && {};
    };
  }, Object.fromEntries(jobIds.map((jobId, number) => [jobId, makeRun(jobId, number)])));
  const found = { kind: poison(1), text: poison(2), why: poison(3), jobId: poison(4), turn: poison(5), p: poison(6) };
  for (const section of ["separates", "groups", "hints", poison(3)]) {
    result.structuredContent.sections.push({ section, state: poison(9), found: poison(2), why: poison(8) });
    result.structuredContent[section] = [found, { ...found, jobIds: [poison(2)] }, null, 7];
  }
  await view.deliver(DIAGNOSE.args, result);
  await view.locator(".cell").first().waitFor();
  const opened = await view.frame.evaluate(async () => {
    let count = 0;
    for (const cell of document.querySelectorAll(".cell")) {
      cell.click();
      while (!document.querySelector("#run li")) await new Promise((resolve) => setTimeout(resolve));
      count += 1;
      const foreign = document.querySelectorAll("#surface :is(script, img, iframe, a, object, style, base, link, form)").length;
      if (foreign) throw new Error(`${foreign} foreign elements`);
    }
    return count;
  });
  assert.equal(opened, 500);
  const contexts = await view.page.evaluate(() => window.contexts);
  assert.equal(contexts.length, 500);
  for (const words of contexts) assert.match(words, /^The user is looking at test run [\w-]+ of batch run [\w-]+\.$/);
  await view.close();
  return "500 transcripts opened: 0 elements, 0 requests, 0 dialogs, only ids for the model";
}

async function followBatchRun(browser, origin, failing) {
  const view = await View.open(browser, origin, { tool: "create_batch_run", hasClock: true });
  await view.page.evaluate(({ first, last, run }) => {
    window.polls = 0;
    answer = ({ method }) => {
      if (method !== "tools/call") return null;
      window.polls += 1;
      if (window.polls >= first && window.polls <= last) return { isError: true, content: [{ type: "text", text: "The API fails." }] };
      return { content: [], structuredContent: { ...run, successfulAttempts: window.polls, failedAttempts: 0, expectedAttempts: 900 } };
    };
  }, { ...failing, run: { batchId: BATCH, agentId: AGENT, state: "running" } });
  await view.deliver({ testCases: ["tc_1"] }, { content: [], structuredContent: { batchId: BATCH, agentId: AGENT, state: "running" } });
  await view.locator("progress").waitFor();
  return view;
}

const readPolls = (view) => view.page.evaluate(() => window.polls);
const setVisible = async (view, isShown) => {
  await view.page.evaluate((height) => { document.getElementById("above").style.height = height; }, isShown ? "0" : "5000px");
  await view.frame.waitForFunction((wanted) => isVisible === wanted, isShown);
};

async function checkPolls(browser, origin) {
  const view = await followBatchRun(browser, origin, { first: 20, last: 23 });
  await view.passTime(50 * 60);
  assert.match(await view.locator("#status").innerText(), /^\d{3} of 900 decided/);
  await setVisible(view, false);
  const early = await readPolls(view);
  await view.passTime(5 * 60);
  const hidden = (await readPolls(view)) - early;
  await setVisible(view, true);
  await view.passTime(10 * 60);
  const polls = await readPolls(view);
  assert.ok(polls > 300 && polls <= 400, `${polls} polls`);
  assert.equal(hidden, 0, `${hidden} polls while hidden`);
  await view.passTime(15 * 60);
  assert.equal(await readPolls(view), 400);
  assert.match(await view.locator("#status").innerText(), /stopped reading/);
  await view.close();
  const failing = await followBatchRun(browser, origin, { first: 3, last: 400 });
  await failing.passTime(60);
  assert.equal(await readPolls(failing), 7);
  assert.match(await failing.locator("#status").innerText(), /^The API fails\. The answer in the chat/);
  await failing.close();
  return `${polls} polls in 60 minutes, ${hidden} in 5 minutes of being hidden; ends after 400, or 5 failures in a row`;
}

async function checkLongConversation(browser, origin) {
  const asked = [];
  const call = async ({ arguments: { fromTurn } }) => {
    asked.push(fromTurn);
    const turn = { turn: fromTurn, role: "user", content: "word ".repeat(20000) };
    return { content: [], structuredContent: { conversation: [turn], ...(fromTurn < 3 && { nextFromTurn: fromTurn + 1 }) } };
  };
  const view = await View.open(browser, origin, { tool: DIAGNOSE.tool, call });
  await view.deliver(DIAGNOSE.args, makeDiagnosis(1, 3));
  await view.locator(".cell").first().click();
  for (const turn of [2, 3]) await view.locator("#run button", { hasText: `from turn ${turn}` }).click();
  await view.locator('#run li[value="3"] summary', { hasText: "100000 characters" }).waitFor();
  assert.equal(await view.locator("#run button").count(), 1);
  assert.deepEqual(asked, [1, 2, 3]);
  assert.equal(await view.locator("#run li .text").isVisible(), false);
  await view.inspect();
  await view.close();
  return "3 ranges, 3 turns of 100 kB folded";
}

async function checkThousand(browser, origin) {
  const view = await View.open(browser, origin, { tool: DIAGNOSE.tool, call: () => ({ content: [] }) });
  const result = makeDiagnosis(20, 50);
  const milliseconds = await view.frame.evaluate(async (data) => {
    const started = performance.now();
    dispatchEvent(new MessageEvent("message", { source: parent, data: { jsonrpc: "2.0", method: "ui/notifications/tool-result", params: data } }));
    while (!document.querySelector(".cell")) await new Promise((resolve) => setTimeout(resolve));
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return Math.round(performance.now() - started);
  }, result);
  assert.equal(await view.locator(".cell").count(), 1000);
  assert.ok(view.calls.length <= 2);
  await view.close();
  const wide = await View.open(browser, origin, { tool: DIAGNOSE.tool });
  await wide.deliver(DIAGNOSE.args, makeDiagnosis(1, 100));
  await wide.locator("td", { hasText: "and 40 more" }).first().waitFor();
  assert.equal(await wide.locator(".cell").count(), 60);
  await wide.close();
  return `drawn in ${milliseconds} ms, ${view.calls.length} calls; 60 cells of a row of 100`;
}

// Labels, runs and answers of odd shapes: each gives a sentence or a row, and the rest still works.
async function checkOddData(browser, origin) {
  const odd = {
    "no runs": [makeDiagnosis(0, 0), "No test runs"],
    "one case": [makeDiagnosis(1, 1), "Case 0"],
    "256 emoji": [makeDiagnosis(2, 2, () => "🙈".repeat(256)), "🙈🙈"],
    "right to left": [makeDiagnosis(2, 2, () => "شكوى من الفاتورة ".repeat(9)), "شكوى"],
    "100 x 50": [makeDiagnosis(100, 50), "94 more test cases"],
    "no label": [makeDiagnosis(1, 1, () => null), "tc_0"],
    "a broken case": [{ ...makeDiagnosis(2, 2), _meta: { [MATRIX]: [["tc_0", "good", []], 7] } }, "cannot be shown"],
    "a broken rate": [{ content: [], structuredContent: { sections: [] }, _meta: { [MATRIX]: [] } }, "cannot be shown"],
  };
  const running = makeDiagnosis(1, 1);
  running.structuredContent.state = "running";
  odd["a running batch run"] = [running, "the figures will change"];
  const gaps = makeDiagnosis(1, 1);
  gaps.structuredContent.notRead = [{ kind: "test run", reason: "unreadable", id: "job_1" }];
  gaps.structuredContent.cut = [{ field: "remarks", shown: 9, of: 99 }];
  odd["what was not read"] = [gaps, "Missing: kind test run, reason unreadable, id job_1.Missing: field remarks, shown 9, of 99."];
  const compared = { levels: {}, baseBatchId: BATCH, candidateBatchId: BATCH, counts: { "not tested": 1 }, undecided: { base: 2, candidate: 1 }, couldProve: false, testCases: [] };
  odd["too few attempts"] = [{ content: [], structuredContent: compared }, /undecided base 2, candidate 1.*Too few attempts to prove a change/];
  const view = await View.open(browser, origin, { tool: DIAGNOSE.tool });
  await view.page.setViewportSize({ width: 320, height: 600 });
  for (const [name, [result, words]] of Object.entries(odd)) {
    await view.deliver(DIAGNOSE.args, result);
    await view.locator("#surface", { hasText: words }).waitFor({ timeout: 5000 });
    assert.equal(await view.frame.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, name);
  }
  await view.close();
  return `${Object.keys(odd).length} shapes`;
}

const readDiagnosis = () =>
  document.querySelector("#surface section").outerHTML.replaceAll(' open=""', "");

async function checkReport(browser, origin, client) {
  const requests = [];
  const context = await browser.newContext({ offline: true, viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(setup.report).href);
  await page.evaluate(AXE);
  assert.ok(await page.getByText("Created 2026-06-09T13:05").isVisible());
  // Folded on a screen, but not on paper.
  const turns = page.locator("details li[value]").last();
  assert.equal(await turns.isVisible(), false);
  await page.emulateMedia({ media: "print" });
  assert.equal(await turns.isVisible(), true);
  await page.emulateMedia({ media: "screen" });
  await page.evaluate(() => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
  let rules;
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      const seen = await page.evaluate(async (runOnly) => {
        document.body.style.background = "Canvas"; // axe takes the window to be white
        const { violations } = await axe.run({ preload: false, resultTypes: ["violations"], ...(runOnly && { runOnly }) });
        return [...violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`), document.documentElement.scrollWidth > innerWidth];
      }, rules);
      rules = LAYOUT_RULES;
      assert.deepEqual(seen, [false], `${colorScheme} ${width}`);
    }
  }
  const inReport = await page.evaluate(readDiagnosis);
  const isListed = await page.evaluate(() => [...document.querySelectorAll(".cell")].every(({ jobId }) => document.body.innerText.includes(jobId)));
  assert.ok(isListed, "a job id is not in the report");
  await page.locator(".cell.failed").first().click();
  await page.locator("#run li").first().waitFor();
  assert.equal(requests.length, 1);
  if (setup.picture) {
    await page.setViewportSize({ width: 1000, height: 620 });
    await page.emulateMedia({ colorScheme: "light" });
    await page.screenshot({ path: setup.picture });
  }
  await context.close();
  const view = await View.open(browser, origin, { tool: DIAGNOSE.tool });
  await view.deliver(DIAGNOSE.args, await client.callTool({ name: DIAGNOSE.tool, arguments: DIAGNOSE.args }));
  await view.locator(".cell").first().waitFor();
  assert.equal(await view.frame.evaluate(readDiagnosis), inReport);
  await view.close();
  const validator = new HtmlValidate({ extends: ["html-validate:standard"], rules: { "no-inline-style": "off", "long-title": "off", "doctype-style": "off" } });
  const html = readFileSync(setup.report, "utf8");
  const { results } = await validator.validateString(html);
  assert.deepEqual(results.flatMap(({ messages }) => messages.map(({ ruleId, message, line }) => `${line} ${ruleId} ${message}`)), []);
  return `${Math.round(html.length / 1024)} kB, offline, valid HTML, same diagnosis as in the host`;
}

const clients = { "2026-07-28": await connect("2026-07-28"), "2025-11-25": await connect("2025-11-25") };
const client = clients["2026-07-28"];
const { contents } = await client.readResource({ uri: VIEWER });
const server = await serve(contents[0].text);
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({ executablePath: setup.chromium, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
try {
  // Two at a time: each check has a page of its own.
  await Promise.all(Object.entries(clients).map(async ([revision, each]) => {
    for (const [name, run] of Object.entries(conditions(browser, origin, each))) await check(`${revision}, ${name}`, run);
  }));
  // Alone, since it prints a time.
  await check("1,000 attempts", () => checkThousand(browser, origin));
  const others = { "poisoned answers": checkPoison, "a running batch run": checkPolls, "long conversation": checkLongConversation, "odd data": checkOddData };
  await Promise.all([
    check("report", () => checkReport(browser, origin, client)),
    ...Object.entries(others).map(([name, run]) => check(name, () => run(browser, origin))),
  ]);
} finally {
  await browser.close();
  server.close();
  await Promise.all(Object.values(clients).map((each) => each.close()));
}
process.exit(isFailed ? 1 : 0);
