// Live notes: one WebSocket for each channel named in <body data-live="a b">.
//
// A note whose data is {"type": "health", "customer_id": "cus_..", ..} becomes the DOM
// events "cg:<channel>", "cg:health" and "cg:health-cus_.." on <body>, each with the
// data as event.detail; regions refresh themselves with
// hx-trigger="cg:health from:body throttle:1s". After a lost connection the socket
// resumes with ?since=<last seq>. After 3 failures in a row, or when it is not let in,
// "cg:poll" and the topics of all regions fire every 10 s.

const POLL_S = 10;
const FAILURES_BEFORE_POLLING = 3;
const SILENCE_S = 75;
const LONGEST_WAIT_S = 30;
// Longer than any throttle of a region: what a throttle dropped is asked for after it.
const ECHO_S = 2.1;
const TEXTS = {
  live: "Live",
  reconnecting: "Reconnecting",
  stale: "Not live, refreshing every 10 s",
};

const channels = new Map();
const echoes = new Map();
let polling = 0;
let leaving = false;

function dispatch(name, detail) {
  document.body.dispatchEvent(new CustomEvent(name, { detail }));
}

function announce(data, channel) {
  const names = new Set([`cg:${channel}`]);
  const type = data.type || channel;
  names.add(`cg:${type}`);
  for (const [key, value] of Object.entries(data)) {
    const isId = key === "id" || key.endsWith("_id");
    if (isId && value) names.add(`cg:${type}-${value}`);
  }
  for (const name of names) {
    dispatch(name, { ...data, channel });
    echo(name, { ...data, channel });
  }
}

// htmx drops events inside a throttle, also the last one: when notes of a topic came
// close together, its regions hear it once more when it is quiet.
function echo(name, detail) {
  const known = echoes.get(name);
  if (known) clearTimeout(known);
  const timer = setTimeout(() => {
    echoes.delete(name);
    if (known && listenedTopics().has(name)) dispatch(name, detail);
  }, ECHO_S * 1000);
  echoes.set(name, timer);
}

function showState() {
  const states = [...channels.values()].map((channel) => channel.state);
  const state = ["stale", "reconnecting", "live"].find((name) => states.includes(name));
  if (!state) return;
  for (const dot of document.querySelectorAll("[data-live-dot]")) {
    dot.dataset.state = state;
    dot.querySelector("[data-live-text]").textContent = TEXTS[state];
  }
  const needsPolling = states.includes("stale");
  if (needsPolling && !polling) polling = setInterval(poll, POLL_S * 1000);
  if (!needsPolling && polling) {
    clearInterval(polling);
    polling = 0;
  }
}

function poll() {
  if (document.hidden) return;
  dispatch("cg:poll", {});
  for (const topic of listenedTopics()) dispatch(topic, {});
}

// Regions name their topics in hx-trigger; polling wakes exactly those.
function listenedTopics() {
  const found = new Set();
  for (const node of document.querySelectorAll("[hx-trigger*='cg:']")) {
    const named = node.getAttribute("hx-trigger").match(/cg:[\w.-]+/g) || [];
    named.forEach((topic) => found.add(topic));
  }
  return found;
}

function address(channel) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const since = channel.seq === null ? "" : `?since=${channel.seq}`;
  return `${scheme}//${location.host}/api/v1/stream/${channel.name}${since}`;
}

function connect(channel) {
  const socket = new WebSocket(address(channel));
  channel.socket = socket;
  socket.onopen = () => listen(channel);
  socket.onmessage = (event) => {
    listen(channel);
    receive(channel, event.data);
  };
  socket.onclose = (event) => {
    if (channel.socket === socket) lost(channel, event.code);
  };
}

function receive(channel, text) {
  const message = JSON.parse(text);
  if (message.type === "note") {
    channel.seq = message.seq;
    announce(message.data, channel.name);
  } else if (message.type === "hello") {
    // Its seq is "now"; missed notes with smaller numbers may follow it.
    channel.seq ??= message.seq;
    channel.failures = 0;
    channel.state = "live";
    showState();
  } else if (message.type === "resync") {
    channel.seq = message.seq;
    for (const topic of listenedTopics()) dispatch(topic, {});
  }
}

// A socket without any sign of life is dead even if nobody closed it.
function listen(channel) {
  clearTimeout(channel.silence);
  channel.silence = setTimeout(() => channel.socket.close(), SILENCE_S * 1000);
}

function lost(channel, code) {
  clearTimeout(channel.silence);
  if (leaving) return;
  channel.failures += 1;
  const refused = code >= 4400 && code < 4500;
  const isStale = refused || channel.failures >= FAILURES_BEFORE_POLLING;
  channel.state = isStale ? "stale" : "reconnecting";
  showState();
  if (refused) return;
  const wait = Math.min(2 ** (channel.failures - 1), LONGEST_WAIT_S);
  channel.timer = setTimeout(() => connect(channel), wait * (500 + Math.random() * 500));
}

// A tab that comes back tries at once instead of waiting for its back-off.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const channel of channels.values()) {
    if (channel.socket.readyState <= WebSocket.OPEN) continue;
    clearTimeout(channel.timer);
    connect(channel);
  }
});

addEventListener("pagehide", () => {
  leaving = true;
  for (const { socket } of channels.values()) {
    if (socket.readyState === WebSocket.OPEN) socket.close();
  }
});
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  leaving = false;
  for (const channel of channels.values()) connect(channel);
});

// data-live="health-scores:41 alerts": start after note 41, or from now.
for (const word of (document.body.dataset.live || "").split(/\s+/).filter(Boolean)) {
  const [name, seq] = word.split(":");
  const channel = {
    name, seq: seq ? Number(seq) : null, state: "reconnecting", failures: 0, timer: 0,
    silence: 0, socket: null,
  };
  channels.set(name, channel);
  connect(channel);
}
