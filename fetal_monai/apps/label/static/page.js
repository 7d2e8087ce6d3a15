// The labelling page. It speaks MONAI Label's own protocol (infer, activelearning, datastore), so that what is labelled
// here is labelled for every other client too; /labelling/ adds pixels, the class list and the CSV.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { config: null, image: null, frame: -1, frames: 1, labels: [], prediction: null, history: [], ahead: [], busy: true };
const STRATEGIES = {
  key_frames: "key frames", entropy: "uncertainty", disagreement: "disagreement of the views", distance: "distance to what is labelled",
};
const SCRUB_MS = 80;
let asked = 0; // counts predictions asked for, so that a late answer to an old question is dropped

async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (!answer.ok) {
    const text = await answer.text();
    let detail = text;
    try { detail = JSON.parse(text).detail ?? text; } catch { /* not JSON: show it as it is */ }
    throw new Error(typeof detail === "string" ? detail : JSON.stringify(detail));
  }
  return (answer.headers.get("content-type") ?? "").includes("json") ? answer.json() : answer.text();
}

const query = (values) => new URLSearchParams(values).toString();
const currentLabel = () => state.labels.find((label) => label.frame === state.frame)?.class;
const isClip = () => state.frames > 1;
const place = () => (isClip() ? `frame ${state.frame + 1} of ${state.frames}` : "still");

function say(text) { $("status").textContent = text; }
function complain(error) { $("alert").textContent = error ? error.message : ""; }

// One thing at a time: a key pressed while another action runs is dropped, never queued onto the wrong image.
async function exclusively(action) {
  if (state.busy) return;
  state.busy = true;
  document.body.setAttribute("aria-busy", "true");
  complain(null);
  try { await action(); } catch (error) { complain(error); }
  state.busy = false;
  document.body.setAttribute("aria-busy", "false");
}

async function open(image, frame) {
  const found = await ask(`/labelling/image?${query({ image })}`);
  state.image = image;
  state.frames = found.frames;
  state.labels = found.labels;
  state.frame = isClip() ? Math.max(frame ?? 0, 0) : -1;
  $("clip").hidden = !isClip();
  $("slider").max = state.frames - 1;
  if (keys.image !== image) forgetKeyFrames();
  try { await show(); } finally { findKeyFrames(); } // not awaited: labelling goes on
}

async function show() {
  const number = ++asked;
  const { image, frame } = state;
  state.prediction = null;
  $("title").textContent = image;
  $("slider").value = frame;
  $("slider").setAttribute("aria-valuetext", place());
  $("number").textContent = `${frame + 1} / ${state.frames}`;
  const marked = state.labels.map((label) => label.frame + 1).sort((a, b) => a - b);
  $("labelled").textContent = marked.length ? `labelled: ${marked.join(", ")}` : "";
  $("frame").src = `/labelling/frame?${query({ image, frame })}`;
  $("frame").alt = `Ultrasound image, ${place()}`;
  markKeyFrames();
  draw();
  if (isClip()) await new Promise((done) => { setTimeout(done, SCRUB_MS); }); // no question for a frame that flies by
  if (number !== asked) return;
  const body = new FormData();
  body.append("params", JSON.stringify({ frame }));
  const prediction = await ask(`/infer/${state.config.model}?${query({ image, output: "json" })}`, { method: "POST", body });
  if (number !== asked) return;
  state.prediction = prediction;
  draw();
}

function draw() {
  const { prediction } = state;
  const chosen = currentLabel();
  for (const button of $("classes").querySelectorAll("button")) {
    const name = button.dataset.name;
    const share = prediction ? prediction.probabilities[name] : null;
    const suggested = prediction !== null && prediction.top === name;
    button.querySelector(".bar").style.width = share === null ? "0" : `${100 * share}%`;
    button.querySelector(".percent").textContent = share === null ? "" : `${(100 * share).toFixed(1)} %`;
    button.classList.toggle("suggested", suggested);
    button.setAttribute("aria-pressed", String(chosen === name));
    button.setAttribute("aria-label", [
      name, share === null ? "" : `${(100 * share).toFixed(0)} percent`,
      suggested ? "suggested" : "", button.dataset.key ? `key ${button.dataset.key}` : "",
    ].filter(Boolean).join(", "));
  }
  $("doubt").textContent = doubt(prediction);
  $("accept").disabled = prediction === null;
  $("undo").disabled = state.history.length === 0;
}

function doubt(prediction) {
  if (prediction === null) return "…";
  if (prediction.out_of_distribution) return "Unlike the images that the model learnt from: do not trust the suggestion.";
  if (prediction.label === null) return "The model is not sure enough to decide.";
  const others = (prediction.conformal_set ?? []).filter((name) => name !== prediction.top);
  return others.length ? `Also possible: ${others.join(", ")}.` : `Suggestion: ${prediction.top}.`;
}

async function count() {
  const { total, completed } = await ask("/datastore/");
  $("progress").max = Math.max(total, 1);
  $("progress").value = completed;
  $("count").textContent = `${completed} of ${total} labelled`;
}

async function save(image, labels) {
  if (labels.length === 0) {
    await ask(`/datastore/label?${query({ id: image, tag: "final" })}`, { method: "DELETE" });
  } else {
    const body = new FormData();
    body.append("label", new File([JSON.stringify({ labels })], "label.json", { type: "application/json" }));
    await ask(`/datastore/label?${query({ image, tag: "final" })}`, { method: "PUT", body });
  }
}

// Two clients at one clip would undo each other's labels, so the server tells them apart, by tab.
function client() {
  sessionStorage.client ??= crypto.randomUUID();
  return sessionStorage.client;
}

async function next() {
  const waiting = state.ahead.pop();
  if (waiting) { await open(waiting.image, waiting.frame); return; }
  const strategy = $("strategy").value;
  const found = await ask(`/activelearning/${strategy}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ client_id: client() }),
  });
  if (!found.id) { say("Every image is labelled."); return; }
  // A strategy that names no frame (random) means the middle of a clip, where sonographers tend to stop.
  const frame = found.frame ?? Math.floor(((await ask(`/labelling/image?${query({ image: found.id })}`)).frames - 1) / 2);
  await open(found.id, frame);
}

const choose = (name) => exclusively(async () => {
  const { image, frame, labels } = state;
  await save(image, [...labels.filter((label) => label.frame !== frame), { frame, class: name }]);
  state.history.push({ image, frame, labels });
  say(`${name}: saved.`);
  await count();
  await next();
});

const accept = () => { if (state.prediction) choose(state.prediction.top); };

const skip = () => exclusively(async () => {
  say("Skipped.");
  await next();
});

const undo = () => exclusively(async () => {
  const last = state.history.at(-1);
  if (!last) { say("Nothing to undo."); return; }
  await save(last.image, last.labels);
  state.history.pop();
  // What was in view has been offered and would not be again soon: it comes back when this one is done.
  const { image, frame } = state;
  if (image !== last.image || frame !== last.frame) state.ahead.push({ image, frame });
  say("Undone: the label is as it was.");
  await count();
  await open(last.image, last.frame);
});

function step(frame) {
  if (!isClip() || state.busy) return;
  const wanted = Math.min(Math.max(frame, 0), state.frames - 1);
  if (wanted === state.frame) return;
  state.frame = wanted;
  complain(null);
  show().catch(complain);
}

function pressed(event) {
  if (!$("shortcuts").checked || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.repeat && !event.key.startsWith("Arrow")) return;
  const target = event.target;
  if (target.matches("select, input:not([type=range])")) return;
  if (target.matches("button, a") && (event.key === "Enter" || event.key === " ")) return;
  const onSlider = target === $("slider");
  const actions = {
    Enter: accept, " ": skip, Backspace: undo,
    ...(onSlider ? {} : {
      ArrowLeft: () => step(state.frame - 1), ArrowRight: () => step(state.frame + 1),
      Home: () => step(0), End: () => step(state.frames - 1),
    }),
    ",": () => stepKeyFrame(-1), ".": () => stepKeyFrame(1),
  };
  const named = state.config.classes.find((entry) => entry.key && entry.key === event.key.toLowerCase());
  const action = actions[event.key] ?? (named ? () => choose(named.name) : null);
  if (!action) return;
  event.preventDefault();
  action();
}

function paint(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function build(config) {
  $("notice").textContent = config.notice;
  for (const { name, key } of config.classes) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.name = name;
    button.dataset.key = key;
    for (const [tag, style, text] of [["span", "bar", ""], ["kbd", "", key.toUpperCase()], ["span", "", name], ["span", "percent", ""]]) {
      const part = document.createElement(tag);
      if (style) part.className = style;
      part.textContent = text;
      button.append(part);
    }
    button.addEventListener("click", () => { choose(name); button.blur(); });
    const item = document.createElement("li");
    item.append(button);
    $("classes").append(item);
  }
  for (const strategy of config.strategies) {
    $("strategy").append(new Option(STRATEGIES[strategy] ?? strategy, strategy));
  }
  $("accept").addEventListener("click", accept);
  $("skip").addEventListener("click", skip);
  $("undo").addEventListener("click", undo);
  $("slider").addEventListener("input", () => step(Number($("slider").value)));
  $("theme").value = localStorage.getItem("theme") ?? "";
  paint($("theme").value);
  $("theme").addEventListener("change", () => { localStorage.setItem("theme", $("theme").value); paint($("theme").value); });
  document.addEventListener("keydown", pressed);
}

async function start() {
  try {
    state.config = await ask("/labelling/config");
    build(state.config);
    await count();
    await next();
  } catch (error) { complain(error); }
  state.busy = false;
  document.body.setAttribute("aria-busy", "false");
}

start();
