/**
 * Cuts a stream of bytes into lines of text.
 *
 * Works on bytes, because a read can end inside a character; only whole lines are decoded.
 */
export class LineSplitter {
  #parts = [];

  /** Takes the next bytes and returns the lines that became whole, without their line feeds. */
  push(bytes) {
    const lines = [];
    let from = 0;
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
      lines.push(this.#take(bytes.subarray(from, at)));
      from = at + 1;
    }
    if (from < bytes.length) this.#parts.push(bytes.subarray(from));
    return lines;
  }

  /** Returns the last line if nothing ended it. */
  end() {
    return this.#parts.length > 0 ? [this.#take(new Uint8Array())] : [];
  }

  #take(last) {
    const line = Buffer.concat([...this.#parts, last]).toString("utf8");
    this.#parts = [];
    return line;
  }
}
