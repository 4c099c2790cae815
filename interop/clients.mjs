// Test the server with the TypeScript SDK's clients v1 and v2 on three transports, v2 with and without a handshake.
// The argument is {url, command, tools} as JSON. Prints one line for each client; exits 1 if one failed.

import assert from "node:assert/strict";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport as SSEV1 } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport as StdioV1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as HTTPV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import {
  Client as ClientV2,
  SSEClientTransport as SSEV2,
  StreamableHTTPClientTransport as HTTPV2,
} from "@modelcontextprotocol/client";
import { StdioClientTransport as StdioV2 } from "@modelcontextprotocol/client/stdio";

const server = JSON.parse(process.argv[2]);
const INVALID_PARAMS = -32602;
const CAPABILITIES = { capabilities: { elicitation: {} } };

const AGENT = "agent_D5D0p7TUs66TTAEAx";
const BATCH = "batch_s0OJu2JWR8R45Fai";
const JOB = "job_ksUu5yRHGTLLrLeM";
const TRANSCRIPT = `sigmamind://agents/${AGENT}/batch-runs/${BATCH}/test-runs/${JOB}/transcript`;

// Each client has a key of its own. With one key they would be one caller: its launches would be counted together,
// so that a client is asked again whenever another one has started a batch run.
function transport(name, client, Stdio, SSE, HTTP) {
  if (name === "stdio") {
    const [command, ...args] = server.command;
    return new Stdio({ command, args, stderr: "ignore" });
  }
  const options = { requestInit: { headers: { "X-API-Key": `interop-${client}-${name}` } } };
  return name === "sse" ? new SSE(new URL("/sse", server.url), options) : new HTTP(new URL("/mcp", server.url), options);
}

// Both clients with the same functions: v1 takes a result schema where v2 takes the options.
function v1(name) {
  const client = new ClientV1({ name: "interop", version: "1" }, CAPABILITIES);
  return {
    name: `v1 ${name}`,
    isModern: false,
    mayAsk: name !== "http", // stateless: the server cannot ask
    client,
    connect: () => client.connect(transport(name, "v1", StdioV1, SSEV1, HTTPV1)),
    onQuestion: (answer) => client.setRequestHandler(ElicitRequestSchema, answer),
    call: (tool, args, options) => client.callTool({ name: tool, arguments: args }, undefined, options),
  };
}

function v2(name, revision) {
  const options = revision ? { versionNegotiation: { mode: { pin: revision } } } : {};
  const client = new ClientV2({ name: "interop", version: "1" }, { ...CAPABILITIES, ...options });
  return {
    name: `v2 ${name} ${revision ?? "handshake"}`,
    isModern: Boolean(revision),
    mayAsk: Boolean(revision) || name !== "http",
    client,
    connect: async () => {
      await client.connect(transport(name, `v2-${revision ?? "handshake"}`, StdioV2, SSEV2, HTTPV2));
      assert.equal(client.getNegotiatedProtocolVersion(), revision ?? "2025-11-25");
    },
    onQuestion: (answer) => client.setRequestHandler("elicitation/create", answer),
    call: (tool, args, options) => client.callTool({ name: tool, arguments: args }, options),
  };
}

async function check(peer) {
  const { client, call } = peer;
  const questions = [];
  peer.onQuestion(async (request) => {
    questions.push(request.params.message);
    return { action: "accept", content: { start: false } };
  });
  await peer.connect();
  try {
    assert.equal(client.getServerVersion().name, "sigmamind-mcp");
    await checkLists(client, peer.isModern);
    await checkTools(call);
    await checkErrors(client, call);
    await checkReading(client, peer.isModern);
    await checkQuestion(peer, questions);
    await checkWait(peer);
  } finally {
    await client.close();
  }
}

async function checkLists(client, isModern) {
  const listed = await client.listTools();
  assert.deepEqual(listed.tools.map((tool) => tool.name), server.tools);
  for (const tool of listed.tools) {
    assert(tool.title && tool.description && tool.outputSchema && tool.annotations, tool.name);
    assert.equal(tool.inputSchema.additionalProperties, false, tool.name);
  }
  assert.deepEqual((await client.listTools()).tools, listed.tools, "the order of tools/list");
  const [prompts, resources, templates] = [
    await client.listPrompts(),
    await client.listResources(),
    await client.listResourceTemplates(),
  ];
  assert.equal(prompts.prompts.length, 3);
  assert(resources.resources.some((resource) => resource.uri === "sigmamind://guide/getting-started"));
  assert.equal(templates.resourceTemplates.length, 5);
  if (isModern) {
    for (const list of [listed, prompts, templates]) assert.deepEqual(hints(list), [3_600_000, "public"]);
  }
}

async function checkTools(call) {
  const read = await call("get_test_run", { agentId: AGENT, batchId: BATCH, jobId: JOB });
  assert.equal(read.structuredContent.jobId, JOB);
  assert(read.content[0].text.includes(JOB));
  const draft = { agentId: AGENT, userPrompt: "You want to cancel.", successCriteria: "The agent confirms it." };
  for (const attempt of [7, "7"]) assert(!(await call("check_test_case", { ...draft, attempt })).isError);
  const mockData = JSON.stringify([{ variableName: "customer_name", value: "John" }]);
  assert(!(await call("check_test_case", { ...draft, mockData })).isError);
  for (const attempt of [true, 7.5]) {
    const refused = await call("check_test_case", { ...draft, attempt });
    assert(refused.isError && refused.content[0].text.includes("attempt"), `attempt ${attempt}`);
  }
  const unknown = await call("get_test_run", { agentId: AGENT, batchId: BATCH, jobId: "job_none" });
  assert(unknown.isError && unknown.content[0].text.includes("job_none"));
}

async function checkErrors(client, call) {
  const refused = { code: INVALID_PARAMS };
  await assert.rejects(call("no_such_tool", {}), refused);
  await assert.rejects(client.getPrompt({ name: "no_such_prompt" }), refused);
  await assert.rejects(client.getPrompt({ name: "diagnose_batch_run", arguments: { agentId: AGENT } }), refused);
  await assert.rejects(client.readResource({ uri: "sigmamind://guide/no-such-guide" }), refused);
}

async function checkReading(client, isModern) {
  const prompt = await client.getPrompt({ name: "diagnose_batch_run", arguments: { agentId: AGENT, batchId: BATCH } });
  assert(prompt.messages[0].content.text.includes(BATCH));
  const transcript = await client.readResource({ uri: TRANSCRIPT });
  assert.equal(transcript.contents[0].mimeType, "text/markdown");
  assert(transcript.contents[0].text.includes(JOB));
  if (isModern) assert.deepEqual(hints(transcript), [3_600_000, "private"]);
  const { completion } = await client.complete({
    ref: { type: "ref/prompt", name: "diagnose_batch_run" },
    argument: { name: "batchId", value: "batch_s0" },
    context: { arguments: { agentId: AGENT } },
  });
  assert.deepEqual(completion.values, [BATCH]);
}

// A batch run of many attempts asks the person, who says no here. A client that cannot ask needs confirmAttempts.
async function checkQuestion({ name, call, mayAsk }, questions) {
  const testCases = [await createTestCase(call, name, 60)];
  const refused = await call("create_batch_run", { agentId: AGENT, testCases });
  assert(refused.isError);
  assert.match(refused.content[0].text, mayAsk ? /did not say yes/ : /confirmAttempts 60/);
  assert.equal(questions.length, mayAsk ? 1 : 0);
}

async function checkWait({ name, call }) {
  const steps = [];
  const started = await call("create_batch_run", { agentId: AGENT, testCases: [await createTestCase(call, name, 2)] });
  const { batchId } = started.structuredContent;
  const waited = await call("wait_for_batch_run", { agentId: AGENT, batchId, maxSeconds: 30 }, {
    onprogress: (step) => steps.push(step),
  });
  assert.equal(waited.structuredContent.state, "finished");
  assert(steps.length > 0, "progress"); // the number varies: both clients drop reports that arrive with the result
}

// The label differs for each client: all share the sandbox's data.
async function createTestCase(call, label, attempt) {
  const created = await call("create_test_case", {
    agentId: AGENT,
    userPrompt: "You are a polite customer who wants to cancel your subscription.",
    successCriteria: "The agent acknowledges the request.",
    label,
    attempt,
  });
  return created.structuredContent.testCaseId;
}

function hints(result) {
  return [result.ttlMs, result.cacheScope];
}

const transports = ["stdio", "sse", "http"];
const peers = transports.flatMap((name) => [v1(name), v2(name), v2(name, "2026-07-28")]);
const outcomes = await Promise.allSettled(peers.map(check));
for (const [index, outcome] of outcomes.entries()) {
  const failed = outcome.status === "rejected";
  console.log(`${peers[index].name}: ${failed ? `failed\n${outcome.reason.stack}` : "passed"}`);
}
process.exit(outcomes.some((outcome) => outcome.status === "rejected") ? 1 : 0);
