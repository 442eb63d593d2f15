// Live notes: one WebSocket for each channel named in <body data-live="a b">.
//
// A note {"seq": 7, "type": "sync", "id": "sync_..", ..} becomes the DOM events
// "cg:sync" and "cg:sync-<id>" on <body>; regions refresh themselves with
// hx-trigger="cg:sync from:body throttle:1s". After a lost connection the socket
// resumes with ?since=<last seq>. After 3 failures in a row "cg:poll" and the topic
// events seen so far fire every 10 s until a socket opens again.

const POLL_S = 10;
const FAILURES_BEFORE_POLLING = 3;
const SILENCE_S = 75;
const LONGEST_WAIT_S = 30;
const TEXTS = {
  live: "Live",
  reconnecting: "Reconnecting",
  stale: "Not live, refreshing every 10 s",
};

const channels = new Map();
const topics = new Set();
let polling = 0;
let leaving = false;

function dispatch(name, detail) {
  document.body.dispatchEvent(new CustomEvent(name, { detail }));
}

function announce(note, channel) {
  const type = note.type || note.t || channel;
  const detail = { ...note, channel };
  topics.add(`cg:${channel}`);
  dispatch(`cg:${channel}`, detail);
  if (type !== channel) {
    topics.add(`cg:${type}`);
    dispatch(`cg:${type}`, detail);
  }
  if (note.id) dispatch(`cg:${type}-${note.id}`, detail);
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
  for (const topic of new Set([...topics, ...listenedTopics()])) dispatch(topic, {});
}

// Regions name their topics in hx-trigger; polling wakes exactly those.
function listenedTopics() {
  const found = [];
  for (const node of document.querySelectorAll("[hx-trigger*='cg:']")) {
    found.push(...(node.getAttribute("hx-trigger").match(/cg:[\w-]+/g) || []));
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
  socket.onopen = () => {
    channel.failures = 0;
    channel.state = "live";
    listen(channel);
    showState();
  };
  socket.onmessage = (event) => {
    listen(channel);
    receive(channel, event.data);
  };
  socket.onclose = (event) => {
    if (channel.socket === socket) lost(channel, event.code);
  };
}

function receive(channel, text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return;
  }
  for (const note of Array.isArray(message) ? message : [message]) {
    const type = note.type || note.t;
    if (Number.isInteger(note.seq)) channel.seq = note.seq;
    if (type === "heartbeat" || type === "ping" || type === "hello") continue;
    if (type === "resync") dispatch("cg:resync", { channel: channel.name });
    else announce({ ...note, type: null, ...note.data }, channel.name);
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
  const refused = code === 4401 || code === 4403;
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
    if (channel.state === "live" || channel.socket.readyState === WebSocket.CONNECTING) continue;
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
