/** The window: words as they come, a preview of the next ones, a level bar, and what went wrong. */

const $ = (id) => document.getElementById(id);
const QUIETEST = -60; // dB of full scale at the left end of the bar

let capturing = false;
let modelReady = false;
let stopping = false;
let outcome = "";

function show(state, { button, enabled }) {
  $("state").textContent = state;
  $("button").textContent = button;
  $("button").disabled = !enabled;
}

function showProgress() {
  let state = "Listening";
  if (!modelReady) state = "Listening, loading the model…"; // what is said meanwhile is kept
  if (!capturing) state = "Starting…";
  if (stopping) state = "Finishing…";
  show(state, { button: "Stop", enabled: capturing && !stopping });
}

function start() {
  capturing = modelReady = stopping = false;
  $("words").textContent = $("preview").textContent = "";
  $("problem").hidden = true;
  showProgress();
  window.dictation.start();
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

const HANDLERS = {
  ready({ what }) {
    if (what === "capture") capturing = true;
    if (what === "model") modelReady = true;
    showProgress();
  },
  level: showLevel,
  partial({ text }) {
    $("preview").textContent = text; // it replaces the one before
  },
  chunk({ text }) {
    if (text) $("words").textContent += ($("words").textContent && " ") + text;
    $("preview").textContent = "";
    $("text").scrollTop = $("text").scrollHeight;
  },
  warning({ code, message }) {
    if (code === "mic_silent") showProblem({ message });
  },
  error: showProblem,
  done({ full_text: text }) {
    $("words").textContent = text;
    $("preview").textContent = "";
    outcome = text ? "Done" : "Nothing was said";
  },
  failed(problem) {
    showProblem(problem);
    outcome = "Ended early";
  },
  ended() {
    showLevel({ rms_db: QUIETEST, clipping: false });
    show(outcome, { button: "Start", enabled: true });
  },
};

window.dictation.onEvent((event) => HANDLERS[event.type]?.(event)); // later versions add types

$("button").addEventListener("click", () => {
  if ($("button").textContent === "Start") {
    start();
  } else {
    stopping = true;
    showProgress();
    window.dictation.stop();
  }
});
