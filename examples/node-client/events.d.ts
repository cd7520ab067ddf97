// Written by `parakeet-coreml schema --typescript`.

/** The words that became certain with one window. They never change; silent windows too. */
export interface ChunkLine {
  type: "chunk";
  /** 0 for the first, without a gap. */
  index: number;
  /** Words joined by one space; empty for silence. */
  text: string;
  /** Mean token probability, 0 without words; uncalibrated. */
  confidence: number;
  /** Decoding time behind this line. */
  elapsed_ms: number;
  /** With --meta: where its audio starts. */
  start_ms?: number;
  /** With --meta: where its audio ends. */
  end_ms?: number;
  /** With --meta and terms to prefer: those among the words. */
  terms?: WrittenTerm[];
  /** With --words; left out where the line would pass 64 KiB. */
  words?: TimedWord[];
}

/** A failure, reported at once. Chunks for what was captured before may follow, then `done`. */
export interface ErrorLine {
  type: "error";
  /** Stable; more may be added. */
  code: "internal"
    | "usage"
    | "no_device"
    | "mic_silent"
    | "device_lost"
    | "overload"
    | "model_missing"
    | "model_corrupt"
    | "model_unusable"
    | "backend_failed"
    | "download_failed"
    | "output_lost"
    | "storage"
    | "deadline"
    | (string & {});
  /** What happened, for people; may be reworded. */
  message: string;
  /** What to do next, for people; may be empty. */
  hint: string;
}

/** The last line, always. */
export interface DoneLine {
  type: "done";
  /** Number of chunk lines. */
  totalChunks: number;
  /** The chunk texts joined by one space, empty ones skipped. */
  full_text: string;
  /** With --meta. */
  backend?: string | null;
  /** With --meta. */
  model?: string | null;
  /** With --meta: what ended the recording, or the code of the error that did. */
  stop_reason?: "stop"
    | "stdin_eof"
    | "sigint"
    | "sigterm"
    | "sighup"
    | "sigalrm"
    | "max_seconds"
    | "auto_stop"
    | "end_of_input"
    | "host_gone"
    | "cancel"
    | (string & {});
  /** With --meta: milliseconds captured. */
  audio_ms?: number;
  /** With --meta. */
  samples?: Account;
}

/** The first line, with --events hello: who speaks. */
export interface HelloLine {
  type: "hello";
  /** Within it types and keys are only added. */
  schema: 1;
  version: string;
  pid: number;
  /** Look here instead of comparing versions. */
  features: string[];
}

/** With --events ready: sound arrives, so a host can say that it listens. */
export interface CaptureReadyLine {
  type: "ready";
  what: "capture";
  /** Milliseconds of digital zeros before it, which a device may wake with. */
  t_ms: number;
  device: Device;
  /** True where only digital zeros came for 1.5 s: muted, or no permission. */
  silent?: boolean;
}

/** With --events ready: the model is loaded; what was spoken before is not lost. */
export interface ModelReadyLine {
  type: "ready";
  what: "model";
  backend: string;
  model: string;
  compute_units: string;
  runtime: string;
  load_ms: number;
  /** With Core ML on a Mac: false if the model had to be compiled first. */
  warm?: boolean;
}

/** With --events level: ten a second, fewer for a slow reader. */
export interface LevelLine {
  type: "level";
  /** Milliseconds of audio since the first captured sample. */
  t_ms: number;
  /** dB of full scale; -120 is digital silence. */
  rms_db: number;
  peak_db: number;
  clipping: boolean;
}

/** With --events speech: where speech starts and ends, by its loudness. */
export interface SpeechLine {
  type: "speech";
  state: "start" | "end";
  /** Milliseconds of audio since the first captured sample. */
  t_ms: number;
}

/** With --events partial: a preview that may still change; replace it, never append it. */
export interface PartialLine {
  type: "partial";
  /** The chunk it will become part of. */
  index: number;
  /** All words since the last chunk line. */
  text: string;
  /** The part of it, from its start, that will probably stay: a forecast. */
  stable: string;
  /** Up to where it was listened to. */
  t_ms: number;
}

/** With --events state: the microphone was let go, or records again, as the host asked. */
export interface StateLine {
  type: "state";
  state: "paused" | "recording";
  /** Milliseconds of audio since the first captured sample. */
  t_ms: number;
  /** True where only digital zeros came for 1.5 s: muted, or no permission. */
  silent?: boolean;
}

/** With --events warning: something to know that ends nothing. */
export interface WarningLine {
  type: "warning";
  /** Stable; more may be added. */
  code: "capture_stall"
    | "clock_drift"
    | "device_opening"
    | "device_reopened"
    | "input_left"
    | "input_overflow"
    | "language"
    | "long_file"
    | "mic_silent"
    | "model_loading"
    | "nan_samples"
    | "no_words"
    | "other_device"
    | "partial_sample"
    | "script_drift"
    | "short_file"
    | "stdin_closed"
    | "unknown_command"
    | "vocabulary"
    | "worker_restarted"
    | (string & {});
  /** For people; may be reworded. */
  message: string;
}

/** With --events window: what one window cost, when it is decoded. */
export interface WindowLine {
  type: "window";
  /** 0 for the first; windows are not lines. */
  index: number;
  /** When it was begun, since the program's first instruction; absent if ahead. */
  begun_ms?: number;
  /** Milliseconds of audio since the first captured sample. */
  start_ms: number;
  /** Milliseconds of audio since the first captured sample. */
  end_ms: number;
  audio_ms: number;
  /** From its cutting until it was begun. */
  waiting_ms?: number;
  /** Decoding, retries and the way to the backend included. */
  elapsed_ms: number;
  /** Absent too where the encoder's are one. */
  features_ms?: number;
  encoder_ms?: number;
  /** Predictor and joint network included. */
  search_ms?: number;
  tokens: number;
  predictor_calls?: number;
  joint_calls?: number;
  /** Further attempts at it. */
  retries: number;
  /** It was decoded before it had to be, while nothing else waited. */
  ahead: boolean;
}

/** With --events timing, just before `done`: when each stage was reached, at what cost. */
export interface TimingLine {
  type: "timing";
  backend?: string;
  model?: string;
  compute_units?: string;
  runtime?: string;
  load_ms?: number;
  /** Nothing had to be compiled first; always where it loaded. */
  warm?: boolean;
  /** Of the model's files: float32, int8, mlpackage, … */
  form?: string;
  /** Unix time of the program's first instruction. */
  epoch_ms: number;
  /** Milliseconds since the program's first instruction; `key_ms`, of --t0, is before it. */
  stages: Record<string, number>;
  windows?: WindowSums;
  /** How often the backend's process was started again. */
  restarts: number;
}

/** A word of a chunk, with --words. */
export interface TimedWord {
  text: string;
  /** Milliseconds of audio since the first captured sample. */
  start_ms: number;
  /** Milliseconds of audio since the first captured sample. */
  end_ms: number;
  /** Mean token probability; uncalibrated. */
  confidence: number;
}

/** A term of --vocabulary or --phrase among the words of a chunk, with --meta. */
export interface WrittenTerm {
  text: string;
  /** Milliseconds of audio since the first captured sample. */
  start_ms: number;
  /** Milliseconds of audio since the first captured sample. */
  end_ms: number;
}

/** Samples at 16 kHz: captured = transcribed + silent + lost. Empty if nothing was captured. */
export interface Account {
  captured?: number;
  transcribed?: number;
  silent?: number;
  lost?: number;
}

/** The microphone, or the file that stands for it. */
export interface Device {
  name: string;
  /** Hz, as captured. */
  sample_rate: number;
}

/** The figures of all windows, added up. */
export interface WindowSums {
  audio_ms: number;
  /** From its cutting until it was begun. */
  waiting_ms?: number;
  /** Decoding, retries and the way to the backend included. */
  elapsed_ms: number;
  /** Absent too where the encoder's are one. */
  features_ms?: number;
  encoder_ms?: number;
  /** Predictor and joint network included. */
  search_ms?: number;
  tokens: number;
  predictor_calls?: number;
  joint_calls?: number;
  /** Further attempts at it. */
  retries: number;
  windows: number;
  /** Windows that were decoded before they had to be. */
  ahead: number;
}

/** Any line. Ignore types and keys that are not listed: later versions add some. */
export type DictationEvent =
  | ChunkLine
  | ErrorLine
  | DoneLine
  | HelloLine
  | CaptureReadyLine
  | ModelReadyLine
  | LevelLine
  | SpeechLine
  | PartialLine
  | StateLine
  | WarningLine
  | WindowLine
  | TimingLine;
