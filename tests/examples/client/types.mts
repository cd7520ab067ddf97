// Compiled, never run: what the declarations allow, and what they refuse.
import {
  dictate,
  DictationError,
  LADDER,
  type ChunkLine,
  type DictationEvent,
  type DoneLine,
} from "../../../examples/node-client/index.js";

const controller = new AbortController();
const dictation = dictate({
  command: ["python3", "-m", "parakeet_coreml"],
  device: [2, "USB"],
  phrase: ["Kubernetes", "etcd"],
  chunkSeconds: 15,
  events: ["level", "partial"],
  signal: controller.signal,
});

export async function follow(): Promise<string> {
  for await (const event of dictation) {
    if (event.type === "chunk") remember(event);
    if (event.type === "ready" && event.what === "model") remember(event.load_ms);
    if (event.type === "level") remember(event.rms_db + event.peak_db);
    if (event.type === "error" && event.code === "device_lost") remember(event.hint);
    if (event.type === "error" && event.code === "a code of later") remember(event.message);
    // @ts-expect-error a level has no text
    if (event.type === "level") remember(event.text);
    // @ts-expect-error there is no such type
    if (event.type === "applause") remember(event);
  }
  const done: DoneLine = await dictation.stop({ timeoutMs: LADDER.kill });
  return done.full_text;
}

export function explain(error: unknown): string {
  if (!(error instanceof DictationError)) return "a bug";
  const code: number | null = error.exitCode;
  return `${error.code} ${error.hint} ${code} ${error.text}`;
}

// @ts-expect-error an event that is not known
dictate({ events: ["applause"] });
// @ts-expect-error an option that is not known
dictate({ chunk_seconds: 15 });

export const chunk: ChunkLine = { type: "chunk", index: 0, text: "", confidence: 0, elapsed_ms: 0 };
export const any: DictationEvent = chunk;

function remember(_: unknown): void {}
