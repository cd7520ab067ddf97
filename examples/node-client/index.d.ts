import type { DictationEvent, DoneLine, ErrorLine } from "./events.js";

export * from "./events.js";

/** Options of the program, `chunkSeconds` for `--chunk-seconds`, and of the process. */
export interface DictateOptions {
  /** The program, with arguments that come first. Default: `parakeet-coreml` from the PATH. */
  command?: string | string[];
  cwd?: string;
  env?: Record<string, string | undefined>;
  /** Aborting it cancels the recording; the loop and `finished` throw its reason. */
  signal?: AbortSignal;
  /** How long sound may take to arrive. Default: 15 000. */
  startTimeoutMs?: number;
  /** How long after a stop the program may write nothing. Default: 70 000, above its own limits. */
  stopTimeoutMs?: number;
  /** Takes what the program says to people. */
  onStderr?: (text: string) => void;
  /** More arguments, as they are. */
  args?: string[];

  /** `mic`, a file, or `-` for raw PCM that is written to `audio`. */
  input?: string;
  realtime?: boolean;
  inputRate?: number;
  inputEncoding?: "s16le" | "f32le";
  /** Of several the first that is there. */
  device?: string | number | (string | number)[];
  /** Of several channels one, or all mixed. */
  channel?: number | "mix";
  model?: string;
  modelsDir?: string;
  backend?: "auto" | "coreml" | "onnx" | "mlx" | "scripted";
  computeUnits?: "cpu_and_ne" | "all" | "cpu_and_gpu" | "cpu_only";
  /** Terms to prefer, a file of them, and how much. */
  phrase?: string | string[];
  vocabulary?: string;
  boost?: number;
  /** Keeps v3 to the script of a language. */
  language?: string;
  chunkSeconds?: number;
  overlapSeconds?: number;
  maxSeconds?: number;
  /** Where a chunk ends: `pause` gives text about a second after each pause. */
  chunkAt?: "time" | "pause";
  pauseMs?: number;
  /** Seconds without speech, once there was some, that end the recording. */
  autoStop?: number;
  /** How long the microphone stays open after a stop, 0 to 1000. */
  tailMs?: number;
  noSpeculation?: boolean;
  /** A file of terms to prefer, and terms themselves. */
  vocabulary?: string;
  phrase?: string | string[];
  /** How strongly, 0 to 4. */
  boost?: number;
  /** Keeps v3 to the script of a language. */
  language?: string;
  /** Besides `hello`, `ready` and `warning`, which the client needs itself. */
  events?:
    | "all"
    | (
        "level" | "speech" | "partial" | "state" | "window" | "timing" | "hello" | "ready" | "warning"
      )[];
  /** Unix ms of the key press, for `timing`. Default where that is asked for: now. */
  t0?: number;
  meta?: boolean;
  words?: boolean;
}

/** Codes of the program, and the client's own. */
export type DictationErrorCode =
  | ErrorLine["code"]
  | "aborted"
  | "crashed"
  | "protocol"
  | "spawn_failed"
  | "start_timeout"
  | "stop_timeout";

/** Why a recording did not end well. */
export class DictationError extends Error {
  readonly name: "DictationError";
  readonly code: DictationErrorCode;
  /** What a person can do, or empty. */
  readonly hint: string;
  /** Null where the program could not be started or was killed. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** What was recognised all the same. */
  readonly text: string;
  /** The end of what it said to people. */
  readonly stderr: string;
}

/** A line, with `timing` among the events also when it came, in Unix ms. */
export type ReceivedEvent = DictationEvent & { received_ms?: number };

export interface Dictation extends AsyncIterableIterator<ReceivedEvent> {
  readonly pid: number | undefined;
  /** What was recognised so far. */
  readonly text: string;
  /** Takes raw PCM with `input: "-"`, else null. */
  readonly audio: { write(pcm: Uint8Array): boolean; end(): void } | null;
  /** Resolves to the `done` line, or rejects with a DictationError or the signal's reason. */
  readonly finished: Promise<DoneLine>;
  /** Lets the microphone go; what was said is recognised, and its chunk comes. */
  pause(): void;
  /** Opens the microphone again; a `state` line tells when it records. */
  resume(): void;
  /** Ends the recording: what was said is still recognised. `timeoutMs: 0` is for quitting apps. */
  stop(options?: { timeoutMs?: number }): Promise<DoneLine>;
  /** Ends it now. Resolves when the process is gone. */
  cancel(): Promise<void>;
}

/** Starts a recording. */
export function dictate(options?: DictateOptions): Dictation;

/** Milliseconds after a stop at which a program that does not end is told more firmly. */
export const LADDER: Readonly<{ interrupt: number; terminate: number; kill: number }>;

/** The program, and what stops it. */
export interface ToolOptions {
  command?: string | string[];
  cwd?: string;
  env?: Record<string, string | undefined>;
  signal?: AbortSignal;
}

export interface Microphone {
  index: number;
  name: string;
  host_api: string;
  channels: number;
  rate: number;
  is_default: boolean;
}

export interface Model {
  name: string;
  backend: string;
  /** Bytes when complete, and how many of them are here. */
  bytes: number;
  done_bytes: number;
  state: "built in" | "installed" | "partial" | "damaged" | "missing";
  path: string;
}

/** Returns the microphones. */
export function listDevices(options?: ToolOptions): Promise<Microphone[]>;

/** Returns the models, one for each form that a backend reads. */
export function listModels(options?: ToolOptions & { modelsDir?: string }): Promise<Model[]>;

/** Downloads a model, or goes on with it. Aborting keeps what has arrived. */
export function downloadModel(
  name: string,
  options?: ToolOptions & {
    modelsDir?: string;
    onProgress?: (progress: { done_bytes: number; total_bytes: number }) => void;
  },
): Promise<void>;
