/** The window: words as they come, those that may still change, a level bar, and what went wrong. */

const $ = (id) => document.getElementById(id);
const QUIETEST = -60; // dB of full scale at the left end of the bar
const LANGUAGES = { v3: "25 languages", v2: "English", "110m": "English", "tiny-en": "to try" };

let models = [];
let recording = false;
let fetching = false;
let capturing = false;
let modelReady = false;
let stopping = false;
let outcome = "";

function show(state, { button, enabled }) {
  $("state").textContent = state;
  $("button").textContent = button;
  $("button").disabled = !enabled;
  $("model").disabled = $("device").disabled = recording || fetching;
  $("copy").disabled = $("words").textContent === "";
  $("empty").hidden = recording || $("words").textContent !== "";
}

function showProgress() {
  let state = "Listening";
  if (!modelReady) state = "Listening, loading the model…"; // what is said meanwhile is kept
  if (!capturing) state = "Starting…";
  if (stopping) state = "Finishing…";
  show(state, { button: "Stop", enabled: capturing && !stopping });
}

function showIdle(state) {
  show(state, { button: "Start", enabled: !fetching });
}

function preview(text = "", stable = "") {
  $("stable").textContent = stable;
  $("preview").textContent = text.slice(stable.length);
  $("text").scrollTop = $("text").scrollHeight;
}

function start() {
  recording = true;
  capturing = modelReady = stopping = false;
  $("words").textContent = "";
  preview();
  $("problem").hidden = true;
  $("offer").hidden = true;
  showProgress();
  window.dictation.start({ model: $("model").value, device: $("device").value });
}

function showLevel({ rms_db: level, clipping }) {
  const shown = Math.min(0, Math.max(QUIETEST, level));
  $("bar").style.width = `${100 - (100 * shown) / QUIETEST}%`;
  $("bar").classList.toggle("clipping", clipping);
  $("level").setAttribute("aria-valuenow", String(shown));
}

function showProblem({ message, hint }) {
  $("message").textContent = message;
  $("hint").textContent = hint ?? "";
  $("problem").hidden = false;
}

// Models

const megabytes = (bytes) => `${Math.round(bytes / 1e6)} MB`;
const isHere = ({ state }) => state === "installed" || state === "built in";

function option(value, text) {
  return Object.assign(document.createElement("option"), { value, textContent: text });
}

async function choose(wanted) {
  const found = await window.dictation.choices();
  models = found.models;
  const own = found.fixed === null ? [] : [option("", found.fixed)]; // the environment has chosen
  const named = models.map((model) => {
    const about = LANGUAGES[model.name] ?? "";
    const size = isHere(model) ? "" : `, ${megabytes(model.bytes)} to fetch`;
    return option(model.name, `${model.name} (${about}${size})`);
  });
  $("model").replaceChildren(...own, ...named);
  const best = ["v3", "v2", "110m", "tiny-en"].map((name) => models.find((m) => m.name === name));
  $("model").value = wanted ?? (own.length > 0 ? "" : best.find((m) => m && isHere(m))?.name);
  const microphones = found.devices.map(({ name }) => option(name, name));
  $("device").replaceChildren(option("", "System default"), ...microphones);
  offer();
}

/** Offers the download of a model that is chosen and not here. */
function offer(name = $("model").value) {
  const model = models.find((one) => one.name === name && !isHere(one));
  $("offer").hidden = model === undefined;
  $("progress").hidden = true;
  $("progressed").textContent = "";
  if (model === undefined) return;
  const left = model.bytes - model.done_bytes;
  $("fetch").textContent = `Download ${name} (${megabytes(left)}) and record`;
  $("fetch").dataset.model = name;
}

async function fetchModel(name) {
  fetching = true;
  $("problem").hidden = true;
  $("progress").hidden = false;
  $("progress").removeAttribute("value"); // it moves by itself until bytes arrive
  $("fetch").textContent = "Pause";
  showIdle(`Downloading ${name}…`);
  const arrived = await window.dictation.download(name);
  fetching = false;
  await choose(name);
  if (arrived) start();
  else showIdle("Ready when you are");
}

const HANDLERS = {
  ready({ what }) {
    if (what === "capture") capturing = true;
    if (what === "model") modelReady = true;
    showProgress();
  },
  level: showLevel,
  partial({ text, stable }) {
    preview(text, stable); // it replaces the one before; what is stable will hardly change
  },
  chunk({ text }) {
    if (text) $("words").textContent += ($("words").textContent && " ") + text;
    preview();
    showProgress();
  },
  warning({ code, message }) {
    if (code === "mic_silent") showProblem({ message });
  },
  error: showProblem,
  done({ full_text: text }) {
    $("words").textContent = text;
    preview();
    outcome = text ? "Done" : "Nothing was said";
  },
  progress({ done_bytes: done, total_bytes: total }) {
    Object.assign($("progress"), { max: total, value: done });
    $("progressed").textContent = `${megabytes(done)} of ${megabytes(total)}`;
  },
  failed(problem) {
    showProblem(problem);
    outcome = "Ended early";
    if (problem.code === "model_missing") offer($("model").value || "v3");
  },
  ended() {
    recording = false;
    showLevel({ rms_db: QUIETEST, clipping: false });
    showIdle(outcome);
  },
};

window.dictation.onEvent((event) => HANDLERS[event.type]?.(event)); // later versions add types

$("button").addEventListener("click", () => {
  if (!recording) {
    start();
  } else {
    stopping = true;
    showProgress();
    window.dictation.stop();
  }
});
$("fetch").addEventListener("click", () => {
  if (fetching) window.dictation.halt();
  else fetchModel($("fetch").dataset.model);
});
$("copy").addEventListener("click", async () => {
  await window.dictation.copy($("words").textContent);
  $("state").textContent = "Copied";
});
$("model").addEventListener("change", () => offer());

choose();
